// Finds the program for this system and workerd: npm installs each as a package of its own.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { manifest } from './manifest.js';

/** The program cannot be started; the message says why. */
export class Missing extends Error {}

/**
 * The program, and the environment variables that tell it where things are.
 * @returns {{ file: string, env: Record<string, string> }}
 */
export function program() {
  const require = createRequire(import.meta.url);
  const workerd = workerdBinary(require);
  const name = `mcp-run-python-${process.platform}-${process.arch}`;
  if (process.platform === 'win32') throw new Missing('on Windows, use WSL: mcp-run-python runs on Linux and macOS');
  let file;
  try {
    file = require.resolve(`${name}/mcp-run-python`);
  } catch {
    throw new Missing(`${name} is missing: install mcp-run-python anew, with its optional dependencies`);
  }
  const home = fileURLToPath(new URL('..', import.meta.url));
  // The command that starts this again, from anywhere: npx runs files from a cache, where nothing stays.
  const isByNpx = process.env.npm_command === 'exec' || !process.argv[1];
  const command = isByNpx ? ['npx', '-y', manifest.name] : [process.argv[1]];
  return {
    file,
    env: {
      MCP_RUN_PYTHON_HOME: home,
      MCP_RUN_PYTHON_WORKERD: workerd,
      MCP_RUN_PYTHON_COMMAND: JSON.stringify(command),
    },
  };
}

/** @param {NodeJS.Require} require @returns {string} the path of workerd's binary */
function workerdBinary(require) {
  const wanted = manifest.dependencies.workerd;
  let workerd;
  try {
    workerd = require('workerd');
  } catch (error) {
    throw new Missing(
      `workerd is missing for ${process.platform} ${process.arch}: install mcp-run-python anew, with its optional ` +
        `dependencies (${error instanceof Error ? error.message.split('\n')[0] : error})`,
    );
  }
  const found = require('workerd/package.json').version;
  if (found !== wanted) throw new Missing(`workerd ${found} is installed, and ${wanted} is needed`);
  return workerd.default;
}
