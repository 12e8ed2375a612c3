// One call of the tool, without a client.

/**
 * Runs code in an interpreter of its own.
 * @param {import('../core/core.js').Core} core
 * @param {string} code
 * @returns {Promise<any>} the tool's result
 */
export async function runOnce(core, code) {
  const params = {
    name: 'run_python_code',
    arguments: { python_code: code },
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  };
  const request = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
  const { promise, answer } = later();
  const connection = core.connect((text) => {
    const message = JSON.parse(text);
    if (message.id === 1) answer(message);
  });
  connection.receive(request);
  const { result, error } = await promise;
  connection.close();
  if (error) throw new Error(error.message);
  return result;
}

function later() {
  /** @type {(message: any) => void} */
  let answer = () => {};
  const promise = new Promise((resolve) => {
    answer = resolve;
  });
  return { promise, answer: (/** @type {any} */ message) => answer(message) };
}
