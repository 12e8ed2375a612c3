// The library for pages: `codeSandbox()`, an MCP server, and what goes with them. Types: index.d.ts.
import { FrameLink } from './frame-link.js';
import { Sandbox } from './sandbox.js';

export { pythonServer, windowTransport } from './mcp.js';
export { registerWebMcp } from './webmcp.js';

/** @type {typeof import('./index.js').codeSandbox} */
export async function codeSandbox(options = {}) {
  /** @type {Sandbox | undefined} */
  let sandbox;
  const onProgress = (/** @type {import('./index.js').Progress} */ detail) => {
    if (sandbox) sandbox.dispatchEvent(new CustomEvent('progress', { detail }));
    else options.onProgress?.(detail);
  };
  const link = await FrameLink.open({ ...options, onProgress });
  sandbox = new Sandbox(
    {
      eval: (code, globals, on) =>
        link.call('eval', [code, globals], ({ output, progress }) => {
          if (output) on.output(output);
          if (progress) on.progress(progress);
        }),
      interrupt: () => void link.call('interrupt').catch(() => {}),
      reset: () => link.call('reset'),
      close: () => link.close(),
    },
    options,
  );
  return sandbox;
}
