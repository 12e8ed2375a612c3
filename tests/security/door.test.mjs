// Authentication: which requests are admitted, and what rejected clients are told.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { modernHeaders, startWorker } from '../edge/worker.mjs';
import { openSession, startHome } from './home.mjs';

/** @param {string} url @param {string} path @param {Record<string, string>} headers @param {string} [body] @returns {Promise<{ status: number, headers: any, text: string }>} */
function send(url, path, headers, body) {
  return new Promise((resolve, reject) => {
    const { port } = new URL(url);
    const options = { host: '127.0.0.1', port, path, method: body ? 'POST' : 'GET', headers };
    const sent = request(options, (response) => {
      let text = '';
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    }).on('error', reject);
    sent.end(body);
  });
}

const LIST = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

test('before access is chosen, nothing is answered from elsewhere', async () => {
  const worker = await startWorker({ ALLOWED_HOSTS: '*' });
  try {
    for (const path of ['/health', '/mcp', '/anything', '/packages/x.whl']) {
      for (const headers of /** @type {Record<string, string>[]} */ ([
        { host: 'mcp.example.com' },
        { host: 'localhost', 'cf-connecting-ip': '203.0.113.9' },
      ])) {
        const { status, text } = await send(worker.url, path, { ...headers, ...JSON_HEADERS });
        assert.equal(status, 403, `${path} ${JSON.stringify(headers)}: ${text}`);
        assert.match(text, /ACCESS=token/);
      }
    }
    assert.equal((await send(worker.url, '/health', { host: 'localhost' })).status, 200);
  } finally {
    await worker.stop();
  }
});

describe('with tokens', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  before(async () => {
    home = await startHome();
  });
  after(() => home?.stop());

  test('who has none is told that one is needed', async () => {
    for (const authorization of [
      '',
      'Bearer',
      'Bearer wrong',
      `Basic ${home.tokens.ann}`,
      `Bearer ${home.tokens.ann}x`,
    ]) {
      const headers = { ...JSON_HEADERS, ...modernHeaders('tools/list'), host: 'mcp.example.com' };
      const { status, headers: found, text } = await send(home.own, '/mcp', { ...headers, authorization }, LIST);
      assert.equal(status, 401, text);
      assert.match(found['www-authenticate'], /^Bearer/);
      assert.doesNotMatch(text, /CANARY/);
    }
  });

  test('who has one runs code, by any name of the server', async () => {
    assert.equal((await home.run('1 + 1')).structured.return_value, 2);
    assert.equal((await home.run('1 + 1', { token: home.tokens.bob })).structured.return_value, 2);
    assert.match(await openSession(home), /^[0-9a-hjkmnp-tv-z]{26}$/);
  });
});
