// The contract of a home, on the desk; and that abandoned runs cost none of its processes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overHttp } from '../contract/over-http.mjs';
import { contract, GRACE } from '../contract/suite.mjs';
import { answer, modern, run, sleep } from '../edge/worker.mjs';
import { exists, serve, workerds } from './desk.mjs';

contract('desk', async () => overHttp(await serve(['--set', `GRACE_SECONDS=${GRACE}`, 'streamable-http'])));

test('a run that is let go of while it starts costs no process its life', async () => {
  const server = await serve(['--time-limit', '2', '--processes', '2', 'streamable-http']);
  try {
    await run(server.url, '1');
    const before = workerds(server.pid);
    for (let moment = 0; moment < 150; moment += 5) {
      const gone = new AbortController();
      const params = { name: 'run_python_code', arguments: { python_code: 'import json\n1' } };
      modern(server.url, 'tools/call', params, gone.signal)
        .then(answer)
        .catch(() => {});
      await sleep(moment);
      gone.abort();
    }
    // Longer than a run may take, with all its grace.
    await sleep(6000);
    const left = before.filter(exists);
    assert.deepEqual(left, before, server.said());
    assert.equal((await run(server.url, '1 + 1')).return_value, 2);
  } finally {
    await server.stop();
  }
});
