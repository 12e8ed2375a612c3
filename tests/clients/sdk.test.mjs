// The clients of the TypeScript SDKs, 1.x and 2.x, in every version of the protocol that they support.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

const url = new URL(process.env.MCP_URL ?? '');
const programs = JSON.parse(readFileSync(new URL('programs.json', import.meta.url), 'utf8'));
const info = { name: 'tests', version: '1' };
const LEGACY = ['2025-11-25', '2025-06-18', '2025-03-26'];

/**
 * @typedef {object} Connection
 * @property {any} client
 * @property {[string, unknown][]} logs
 * @property {string | undefined} version the protocol's, as negotiated
 */

/** @returns {Promise<Connection>} */
async function connect1() {
  const client = new Client1(info);
  const transport = new Transport1(url);
  /** @type {[string, unknown][]} */
  const logs = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    logs.push([params.level, params.data]);
  });
  await client.connect(transport);
  await client.setLoggingLevel('info');
  return { client, logs, version: transport.protocolVersion };
}

/** @param {string} version @returns {Promise<Connection>} */
async function connect2(version) {
  const modern = !LEGACY.includes(version);
  const client = new Client(info, {
    versionNegotiation: { mode: modern ? { pin: version } : 'legacy' },
    ...(modern ? {} : { supportedProtocolVersions: [version] }),
  });
  const transport = new StreamableHTTPClientTransport(url);
  /** @type {[string, unknown][]} */
  const logs = [];
  client.setNotificationHandler('notifications/message', ({ params }) => {
    logs.push([params.level, params.data]);
  });
  await client.connect(transport);
  if (!modern) await client.setLoggingLevel('info');
  return { client, logs, version: client.getNegotiatedProtocolVersion() };
}

/** @type {[string, string, () => Promise<Connection>][]} */
const eras = [
  ['sdk 1.x', '2025-11-25', connect1],
  .../** @type {[string, string, () => Promise<Connection>][]} */ (
    [...LEGACY, '2026-07-28'].map((version) => ['client 2.x', version, () => connect2(version)])
  ),
];

for (const [name, version, connect] of eras) {
  describe(`${name} in ${version}`, () => {
    /** @type {Connection} */
    let connection;
    /** @param {{ code: string, globals?: object }} program @param {object} [meta] */
    const run = ({ code, globals }, meta) =>
      connection.client.callTool({
        name: 'run_python_code',
        arguments: { python_code: code, ...(globals && { global_variables: globals }) },
        ...(meta && { _meta: meta }),
      });

    before(async () => {
      connection = await connect();
    });
    after(() => connection?.client.close());

    test('negotiates it', () => assert.equal(connection.version, version));

    test('finds the tool', async () => {
      const { tools } = await connection.client.listTools();
      assert.deepEqual(
        tools.slice(0, 2).map((/** @type {{ name: string }} */ tool) => tool.name),
        ['run_python_code', 'end_python_session'],
      );
    });

    test('runs programs', async () => {
      for (const program of programs) {
        const result = await run(program);
        assert.deepEqual(result.content, [{ type: 'text', text: program.text }]);
        assert.equal(result.isError ?? false, false);
        assert.ok(['success', 'run-error'].includes(result.structuredContent.status));
      }
    });

    test('hears what is printed', async () => {
      connection.logs.length = 0;
      await run(
        { code: 'import sys\nprint("out")\nprint("err", file=sys.stderr)' },
        version === '2026-07-28' ? { 'io.modelcontextprotocol/logLevel': 'info' } : undefined,
      );
      assert.deepEqual(connection.logs, [
        ['info', 'out'],
        ['warning', 'err'],
      ]);
    });

    test('gets twenty answers at once, each its own', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => run({ code: `print(${n})\n${n} ** 2` })));
      assert.deepEqual(
        answers.map(({ structuredContent }) => [structuredContent.output, structuredContent.return_value]),
        Array.from({ length: 20 }, (_, n) => [[`${n}`], n ** 2]),
      );
    });

    test('is told what is wrong', async () => {
      await assert.rejects(connection.client.callTool({ name: 'run_python_code', arguments: {} }), /python_code/);
      await assert.rejects(connection.client.callTool({ name: 'no_such_tool', arguments: {} }), /no_such_tool/);
    });
  });
}
