// A home over HTTP, in the form that the contract's tests use.
import assert from 'node:assert/strict';
import { answer, LegacyClient, modern } from '../edge/worker.mjs';
import { params } from './suite.mjs';

/** Reads the structured content of a call's response. @param {Response} response @returns {Promise<any>} */
async function structured(response) {
  const { result, error, text } = await answer(response);
  assert.ok(result, error?.message ?? text);
  return result.structuredContent;
}

/**
 * @param {{ url: string, stop: () => Promise<unknown> }} server
 * @returns {import('./suite.mjs').Home}
 */
export function overHttp({ url, stop }) {
  return {
    stop,
    run: async (code, session, tool) => structured(await modern(url, 'tools/call', params(code, session, tool))),
    begin(code, session, tool) {
      const gone = new AbortController();
      const ended = modern(url, 'tools/call', params(code, session, tool), gone.signal).then(answer);
      ended.catch(() => {});
      return { letGo: async () => gone.abort(), ended };
    },
    async connect() {
      const client = await LegacyClient.connect(url);
      return {
        run: async (code, tool) => structured(await client.request('tools/call', params(code, undefined, tool))),
        begin(code, tool) {
          const ended = client
            .send({ id: 'c', method: 'tools/call', params: params(code, undefined, tool) })
            .then(answer);
          const letGo = async () => {
            await client.send({ method: 'notifications/cancelled', params: { requestId: 'c' } });
          };
          return { letGo, ended };
        },
        close: () => fetch(url, { method: 'DELETE', headers: client.headers }),
      };
    },
  };
}
