// Changes the sandbox's own JavaScript, to test that other defences hold without a part of it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { SITE } from './site.mjs';

/**
 * Serves a page a changed `isolate.js`, and a library with its hash.
 * @param {import('playwright-core').Page} page
 * @param {(source: string) => string} change
 */
export async function changeIsolate(page, change) {
  const name = readdirSync(join(SITE, 'assets')).find((file) => file.startsWith('isolate.js')) ?? assert.fail();
  const real = readFileSync(join(SITE, 'assets', name));
  const source = gunzipSync(real).toString();
  const changed = change(source);
  assert.notEqual(changed, source, 'there is what is to be changed');
  const body = gzipSync(changed);
  const sha256 = (/** @type {Buffer} */ bytes) => createHash('sha256').update(bytes).digest('hex');
  await page.route(`**/${name}`, (route) => route.fulfill({ body }));
  await page.route('**/assets/*.js', async (route) => {
    const text = await (await route.fetch()).text();
    const known = text.replace(`bytes:${real.length}`, `bytes:${body.length}`).replace(sha256(real), sha256(body));
    await route.fulfill({ contentType: 'text/javascript', body: known });
  });
}
