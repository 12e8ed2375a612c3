// The confinement of workerd, attacked by native code in its place: the program itself.
import assert from 'node:assert/strict';
import { readFileSync, realpathSync } from 'node:fs';
import { test } from 'node:test';
import { run, StdioClient, workerds } from './desk.mjs';

const isLinux = process.platform === 'linux';

test('every attack is held, where the kernel can', { skip: !isLinux && 'for Linux' }, async () => {
  const { code, stdout } = await run(['doctor']);
  assert.match(stdout, /\b(\d+) of \1 attacks were held\./, stdout);
  assert.equal(code, 0);
});

test('workerd runs confined just so', { skip: !isLinux && 'for Linux' }, async () => {
  await using client = new StdioClient();
  await client.run('1');
  const pids = workerds(client.child.pid ?? 0);
  assert.ok(pids.length > 0);
  for (const pid of pids) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    // The filter that counts the starts of programs, and the list of allowed calls.
    assert.match(status, /^Seccomp_filters:\s+[2-9]/m);
    assert.match(status, /^CapEff:\s+0+$/m);
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    assert.match(limits, /^Max core file size\s+0\s/m);
    assert.match(limits, /^Max file size\s+0\s/m);
    assert.ok(realpathSync(`/proc/${pid}/exe`).endsWith('workerd'));
  }
});
