// The core: MCP, sessions and results, in WebAssembly, the same as on the edge.
import { readFileSync } from 'node:fs';
import { Core, initSync } from '../core/core.js';

/**
 * @param {import('../core/core.js').SandboxHost} host
 * @param {import('../core/core.js').CoreOptions} settings
 */
export function loadCore(host, settings) {
  initSync({ module: readFileSync(new URL('../core/core_bg.wasm', import.meta.url)) });
  return new Core(host, settings);
}
