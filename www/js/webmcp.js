// WebMCP: the tool for the agent that is part of the browser. https://webmachinelearning.github.io/webmcp/
import { json } from './json.js';

/** @type {typeof import('./index.js').registerWebMcp} */
export function registerWebMcp(sandbox) {
  /** @type {any} */
  const context = /** @type {any} */ (navigator).modelContext ?? /** @type {any} */ (document).modelContext;
  if (typeof context?.registerTool !== 'function') return false;
  context.registerTool({
    name: 'run_python_code',
    title: 'Run Python code',
    description:
      'Tool to execute Python code and return stdout, stderr, and return value.\n\n' +
      'The code may be async, and the value on the last line will be returned as the return value.\n',
    inputSchema: {
      type: 'object',
      properties: {
        python_code: { type: 'string', description: 'Python code to run' },
        global_variables: {
          type: 'object',
          additionalProperties: {},
          default: {},
          description: 'Map of global variables in context when the code is executed',
        },
      },
      required: ['python_code'],
    },
    /** @param {{ python_code: string, global_variables?: any }} input */
    async execute({ python_code, global_variables }) {
      const { images, files, ...rest } = await sandbox.eval(python_code, global_variables);
      const result = files ? { ...rest, files: files.map(({ content, ...file }) => file) } : rest;
      const text = json(/** @type {any} */ (result), String);
      return {
        content: [{ type: 'text', text }, ...images.map((image) => ({ type: 'image', ...image }))],
        // It has to be JSON, without a `bigint`.
        structuredContent: JSON.parse(text),
      };
    },
  });
  return true;
}
