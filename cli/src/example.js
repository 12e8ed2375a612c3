// The mode `example`: the original's program.

const CODE = `
import numpy
a = numpy.array([1, 2, 3])
print('numpy array:', a)
a
`;

/** @param {import('./server.js').Server} server @returns {Promise<number>} the exit code */
export async function runExample({ core, log }) {
  log.info('Running example script for MCP Run Python...');
  /** @type {any} */
  let answer;
  const connection = core.connect((text) => {
    const message = JSON.parse(text);
    if (message.id === 1) answer?.(message);
  });
  const response = await new Promise((resolve) => {
    answer = resolve;
    const params = { name: 'run_python_code', arguments: { python_code: CODE } };
    connection.receive(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }));
  });
  connection.close();
  if (response.error) throw new Error(response.error.message);
  process.stdout.write(`Tool return value:\n${response.result.content[0].text}\n`);
  return response.result.structuredContent.status === 'success' ? 0 : 1;
}
