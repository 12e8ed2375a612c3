// The library for pages: `codeSandbox()`, an MCP server, and what goes with them. Types: index.d.ts.
import { folderOf } from './assets.js';
import { offerDrawing } from './drawings.js';
import { FrameLink } from './frame-link.js';
import { Sandbox } from './sandbox.js';

export { pythonServer, windowTransport } from './mcp.js';
export { registerWebMcp } from './webmcp.js';

/** Slack over a run's time limit, in milliseconds; includes the start of an interpreter on a busy machine. */
const MARGIN = 75_000;

/** Slack over the grace of a run that was stopped, in milliseconds. */
const STOP_MARGIN = 5000;

/** How long a new interpreter may take, in milliseconds. */
const RESET_LIMIT = 150_000;

/** A line in the first result of a frame that replaced a lost one, in the core's words. */
const RESTARTED =
  'The Python interpreter of this session was restarted: its files, imported modules and variables are gone.';

/** How long a frame may take to draw something, in milliseconds: twice what it gives its worker. */
const DRAW_LIMIT = 40_000;

/** @type {typeof import('./index.js').codeSandbox} */
export async function codeSandbox(options = {}) {
  /** @type {Sandbox | undefined} */
  let sandbox;
  const onProgress = (/** @type {import('./index.js').Progress} */ detail) => {
    if (sandbox) sandbox.dispatchEvent(new CustomEvent('progress', { detail }));
    else options.onProgress?.(detail);
  };
  const closing = new AbortController();
  const signal = AbortSignal.any([closing.signal, ...(options.signal ? [options.signal] : [])]);
  const open = () => FrameLink.open({ ...options, onProgress, signal });
  let link = await open();
  const milliseconds = (/** @type {'graceSeconds' | 'timeLimitSeconds'} */ name, /** @type {number} */ otherwise) =>
    Number(options.limits?.[name] ?? otherwise) * 1000;
  const grace = milliseconds('graceSeconds', 1);
  const limit = milliseconds('timeLimitSeconds', 60) + grace + MARGIN;

  sandbox = new Sandbox(
    {
      async eval(code, globals, on, files, stdin) {
        const isNew = link.closed;
        if (isNew) link = await open();
        const onEvent = (/** @type {any} */ { output, progress }) => {
          if (output) on.output(output);
          if (progress) on.progress(progress);
        };
        if (isNew) on.output({ stream: 'stderr', text: RESTARTED });
        const { input: onInput } = on;
        const args = [code, globals, files, stdin, onInput !== undefined];
        const result = await link.call('eval', args, { limit, onEvent, onInput });
        return isNew ? { ...result, output: [RESTARTED, ...result.output] } : result;
      },
      async read(uri, at) {
        return await link.call('read', [uri, at], { limit });
      },
      interrupt() {
        if (link.closed) return;
        link.hurry(grace + STOP_MARGIN);
        link.call('interrupt', [], { limit: grace + STOP_MARGIN }).catch(() => {});
      },
      async reset() {
        if (link.closed) link = await open();
        else await link.call('reset', [], { limit: RESET_LIMIT });
      },
      close() {
        closing.abort(new Error('the sandbox was closed'));
        link.close();
      },
    },
    options,
  );
  offerDrawing(sandbox, folderOf(options.assets), (...args) => link.call('draw', args, { limit: DRAW_LIMIT }));
  return sandbox;
}
