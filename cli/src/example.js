// The mode `example`: the original's program.
import { runOnce } from './ask.js';

const CODE = `
import numpy
a = numpy.array([1, 2, 3])
print('numpy array:', a)
a
`;

/** @param {import('./server.js').Server} server @returns {Promise<number>} the exit code */
export async function runExample({ core, log }) {
  log.info('Running example script for MCP Run Python...');
  const { content, structuredContent } = await runOnce(core, CODE);
  process.stdout.write(`Tool return value:\n${content[0].text}\n`);
  return structuredContent.status === 'success' ? 0 : 1;
}
