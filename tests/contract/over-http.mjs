// A home over HTTP, as the contract drives it.
import { answer, LegacyClient, modern, run } from '../edge/worker.mjs';
import { params } from './suite.mjs';

/**
 * @param {{ url: string, stop: () => Promise<unknown> }} server
 * @returns {import('./suite.mjs').Home}
 */
export function overHttp({ url, stop }) {
  return {
    stop,
    run: (code, session) => run(url, code, { session }),
    begin(code, session) {
      const gone = new AbortController();
      const ended = modern(url, 'tools/call', params(code, session), gone.signal).then(answer);
      ended.catch(() => {});
      return { letGo: async () => gone.abort(), ended };
    },
    async connect() {
      const client = await LegacyClient.connect(url);
      return {
        run: (code) => client.run(code),
        begin(code) {
          const ended = client.send({ id: 'c', method: 'tools/call', params: params(code) }).then(answer);
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
