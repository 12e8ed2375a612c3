#!/usr/bin/env node
// The command `mcp-run-python`: replaces itself with the program for this system.
import { spawn } from 'node:child_process';
import { program } from './program.js';

/** @returns {{ file: string, env: Record<string, string> }} */
function found() {
  try {
    return program();
  } catch (error) {
    process.stderr.write(`mcp-run-python: error: ${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  }
}

const { file, env } = found();
const args = process.argv.slice(2);
const all = /** @type {Record<string, string>} */ ({ ...process.env, ...env });
// Node 22.15 and later have it.
process.execve?.(file, ['mcp-run-python', ...args], all);
// Earlier versions: this process stays; the program ends with it, and gets its signals.
const child = spawn(file, args, { stdio: 'inherit', env: { ...all, MCP_RUN_PYTHON_PARENT: String(process.pid) } });
for (const signal of /** @type {NodeJS.Signals[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`mcp-run-python: error: ${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
