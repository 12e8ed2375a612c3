#!/usr/bin/env node
import { HELP, readArguments, USAGE, UsageError } from './arguments.js';
// The command `mcp-run-python`.
import { runOnce } from './ask.js';
import { runExample } from './example.js';
import { serveHttp } from './http.js';
import { Log } from './log.js';
import { manifest } from './manifest.js';
import { printConfig } from './print-config.js';
import { Server } from './server.js';
import { serveStdio } from './stdio.js';
import { workerdBinary } from './workerd.js';

/** Addresses that only this machine reaches. */
const LOOPBACK = /^(localhost|127(\.\d+){3}|::1)$/;

/** @param {string[]} words @returns {Promise<number>} the exit code */
async function main(words) {
  const args = readArguments(words);
  if (args === 'help') return print(HELP);
  if (args === 'version') return print(`mcp-run-python ${manifest.version}\n`);
  if (args.mode === 'print-config') return print(printConfig(args.rest[0], words));
  const log = new Log({ verbose: args.verbose, format: args.logFormat });
  // Told before anything is promised.
  workerdBinary();
  const server = new Server({ settings: args.settings, processes: args.processes, log });
  const stopped = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => resolve(0));
  });
  try {
    return await Promise.race([stopped, serve(server, args)]);
  } finally {
    await server.close();
  }
}

/**
 * @param {Server} server
 * @param {import('./arguments.js').Arguments} args
 * @returns {Promise<number>}
 */
async function serve(server, { mode, host, port }) {
  if (mode === 'example') return runExample(server);
  if (mode === 'stdio') return Promise.race([serveStdio(server).then(() => 0), broken(server)]);
  // **Boundary.** Whoever reaches this port runs code on this machine: that is to be somebody's choice.
  if (!LOOPBACK.test(host) && !server.settings.access) {
    throw new Error(
      `--host ${host} lets others in: choose --set ACCESS=token (with ACCESS_TOKENS) or --set ACCESS=none`,
    );
  }
  const { url } = await serveHttp(server, { host, port });
  server.log.info(`Running mcp-run-python via ${mode} on ${url}`);
  return broken(server);
}

/** Python starts meanwhile; where it cannot, nothing is served. @param {Server} server @returns {Promise<number>} */
async function broken(server) {
  await server.pool.warm();
  if (server.settings.dependencies) {
    const { structuredContent } = await runOnce(server.core, '');
    if (structuredContent.status !== 'success') throw new Error(structuredContent.error);
  }
  server.log.debug('Python is ready');
  return new Promise(() => {});
}

/** @param {string} text */
function print(text) {
  process.stdout.write(text);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    if (error instanceof UsageError) {
      process.stderr.write(`${USAGE}\nmcp-run-python: error: ${error.message}\n`);
      process.exit(2);
    }
    process.stderr.write(`mcp-run-python: error: ${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  },
);
