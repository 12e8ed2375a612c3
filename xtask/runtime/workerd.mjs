// Runs workerd with one worker made of the files of a folder, for as long as a callback needs it.
import { spawn } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative, resolve } from 'node:path';

/** How a module enters workerd, by the ending of its name. */
const KINDS = /** @type {Record<string, string>} */ ({
  '.js': 'esModule',
  '.mjs': 'esModule',
  '.wasm': 'wasm',
  '.txt': 'text',
});

export const COMPATIBILITY_DATE = '2026-06-01';

/**
 * @template T
 * @param {string} folder every file in it becomes a module named by its path in it
 * @param {string} main the main module
 * @param {(url: string) => Promise<T>} use gets the address where the worker answers
 * @returns {Promise<T>}
 */
export async function withWorkerd(folder, main, use) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && KINDS[extname(entry.name)])
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  const modules = [main, ...files.filter((file) => file !== main)].map(
    (file) => `(name = "${file}", ${KINDS[extname(file)]} = embed "${file}")`,
  );
  const config = join(folder, 'workerd.capnp');
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = []))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [${modules.join(',\n')}],
  compatibilityDate = "${COMPATIBILITY_DATE}",
);
`,
  );
  const binary = join(dirname(createRequire(import.meta.url).resolve('workerd/package.json')), 'bin/workerd');
  const child = spawn(resolve(binary), ['serve', config, '--control-fd=3'], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const exited = new Promise((_, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`workerd ended with ${code}`)));
  });
  exited.catch(() => {});
  try {
    const port = await Promise.race([listening(/** @type {any} */ (child.stdio[3])), exited]);
    return /** @type {T} */ (await Promise.race([use(`http://127.0.0.1:${port}`), exited]));
  } finally {
    child.kill('SIGKILL');
    rmSync(config, { force: true });
  }
}

/** @param {import('node:stream').Readable} control */
async function listening(control) {
  let text = '';
  for await (const chunk of control) {
    text += chunk;
    for (const line of text.split('\n').slice(0, -1)) {
      const message = JSON.parse(line);
      if (message.event === 'listen') return message.port;
    }
  }
  throw new Error('workerd did not start to listen');
}
