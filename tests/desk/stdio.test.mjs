// MCP over stdio: the answers to clients of both protocol eras; stdout has nothing but the protocol.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { meta, timed } from '../edge/worker.mjs';
import { COMMAND, run, StdioClient } from './desk.mjs';

const programs = JSON.parse(readFileSync(new URL('../clients/programs.json', import.meta.url), 'utf8'));
const info = { name: 'tests', version: '1' };
const server = { command: COMMAND, args: ['stdio'], stderr: /** @type {const} */ ('inherit') };

/** @type {[string, () => Promise<any>][]} */
const clients = [
  [
    'sdk 1.x',
    async () => {
      const client = new Client1(info);
      await client.connect(new Transport1(server));
      return client;
    },
  ],
  .../** @type {[string, () => Promise<any>][]} */ (
    ['2025-11-25', '2026-07-28'].map((version) => [
      `client 2.x in ${version}`,
      async () => {
        const modern = version === '2026-07-28';
        const client = new Client(info, { versionNegotiation: { mode: modern ? { pin: version } : 'legacy' } });
        await client.connect(new StdioClientTransport(server));
        assert.equal(client.getNegotiatedProtocolVersion(), version);
        return client;
      },
    ])
  ),
];

for (const [name, connect] of clients) {
  test(`${name} runs programs`, async () => {
    const client = await connect();
    try {
      const { tools } = await client.listTools();
      assert.deepEqual(
        tools.slice(0, 2).map((/** @type {{ name: string }} */ tool) => tool.name),
        ['run_python_code', 'end_python_session'],
      );
      const call = (/** @type {any} */ { code, globals }) =>
        client.callTool({
          name: 'run_python_code',
          arguments: { python_code: code, ...(globals && { global_variables: globals }) },
        });
      for (const program of programs)
        assert.deepEqual((await call(program)).content, [{ type: 'text', text: program.text }]);
      const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => call({ code: `${n} ** 2` })));
      assert.deepEqual(
        answers.map(({ structuredContent }) => structuredContent.return_value),
        Array.from({ length: 8 }, (_, n) => n ** 2),
      );
    } finally {
      await client.close();
    }
  });
}

describe('by stdio', () => {
  test('files and modules stay between calls, variables do not', async () => {
    await using client = new StdioClient();
    const { instructions } = await client.initialize();
    assert.match(instructions, /run_python_code/);
    await client.run('import math\nmath.mark = 1\nopen("f", "w").write("kept")\nx = 1');
    const { return_value, output } = await client.run(
      'import sys\n[open("f").read(), sys.modules["math"].mark, "x" in globals()]',
    );
    assert.deepEqual([return_value, output], [['kept', 1, false], []]);
    const named = await client.run('y = 2', { session: 'new' });
    assert.equal((await client.run('y', { session: named.session })).return_value, 2);
  });

  test('a modern request stands for itself', async () => {
    await using client = new StdioClient();
    await client.run('open("f", "w").close()', {}, meta());
    assert.equal((await client.run('import os\nos.path.exists("f")', {}, meta())).return_value, false);
  });

  test('five hundred calls in a row', async () => {
    await using client = new StdioClient();
    await client.initialize();
    for (let n = 0; n < 500; n++) assert.equal((await client.run(`${n} + 1`)).return_value, n + 1);
  });

  test('more runs at once than may be are refused, and say so', async () => {
    await using client = new StdioClient(['--set', 'RUNS_LIMIT=2']);
    await client.initialize();
    const results = await Promise.all([1, 2, 3, 4].map((n) => client.run(`import time\ntime.sleep(0.5)\n${n}`)));
    assert.deepEqual(results.map(({ return_value }) => return_value).sort(), [1, 2, undefined, undefined]);
    assert.equal(results.filter(({ error }) => /too many runs: 2 of all clients are going on/.test(error)).length, 2);
    assert.equal((await client.run('20 + 22')).return_value, 42);
  });

  test('lines of output come as they are printed', async () => {
    await using client = new StdioClient();
    await client.initialize();
    await client.request('logging/setLevel', { level: 'info' });
    const running = client.run('import time\nprint("first")\ntime.sleep(1)\nprint("second")');
    const first = await timed(async () => {
      while (!client.notifications.length) await new Promise((resolve) => setTimeout(resolve, 10));
    });
    const rest = await timed(() => running);
    assert.ok(rest > 500, `${first} and ${rest}`);
    assert.deepEqual(
      client.notifications.map(({ params }) => [params.level, params.data]),
      [
        ['info', 'first'],
        ['info', 'second'],
      ],
    );
  });

  test('what is no message is answered by an error, and the next one is served', async () => {
    await using client = new StdioClient();
    client.child.stdin.write('not json\n\n[]\n{"jsonrpc":"2.0","id":7}\n');
    client.child.stdin.write(`{"x":"${'x'.repeat(9 * 1024 * 1024)}"}\n`);
    assert.deepEqual((await client.request('ping')).result, {});
    assert.deepEqual(
      client.notifications.map(({ error }) => error.code),
      [-32700, -32600, -32600, -32600],
    );
  });

  test('python cannot write to the protocol', async () => {
    await using client = new StdioClient();
    await client.run(
      'import js, os, sys\nos.write(1, b\'{"jsonrpc":"2.0","method":"x"}\\n\')\njs.console.log(\'{"jsonrpc":"2.0","method":"x"}\')',
    );
    assert.deepEqual(client.notifications, []);
  });

  test('what was asked before the end of input is answered', async () => {
    const calls = [1, 2, 3].map((id) =>
      JSON.stringify({
        jsonrpc: '2.0',
        id,
        method: 'tools/call',
        params: { name: 'run_python_code', arguments: { python_code: `${id} * 10` } },
      }),
    );
    const { code, stdout } = await run(['--return-mode', 'json', 'stdio'], calls.join('\n'));
    assert.equal(code, 0);
    const answers = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(answers.map(({ id, result }) => [id, JSON.parse(result.content[0].text).return_value]).sort(), [
      [1, 10],
      [2, 20],
      [3, 30],
    ]);
  });

  test('its log is for people, or for machines', async () => {
    for (const format of ['text', 'json']) {
      await using client = new StdioClient(['--verbose', '--log-format', format]);
      await client.run('1');
      await client.close();
      const lines = client.stderr.trim().split('\n');
      assert.ok(lines.length > 0);
      for (const line of lines) {
        if (format === 'json') assert.equal(typeof JSON.parse(line).message, 'string');
        else assert.doesNotMatch(line, /^{/);
      }
    }
  });
});
