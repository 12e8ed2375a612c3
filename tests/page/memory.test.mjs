// Closing a sandbox frees its memory.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { memory } from './memory.mjs';
import { serveSite } from './site.mjs';

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({ '/plain': { body: '<!doctype html><html lang="en"><title>A page</title>' } });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
});

test('three sandboxes take memory, and give it back', async () => {
  const { page, close } = await openPage(browser, `${site.url}/plain`);
  const use = () =>
    page.evaluate(async () => {
      const { codeSandbox } = await import(/** @type {any} */ ('/code-sandbox.js'));
      const open = await Promise.all([codeSandbox(), codeSandbox(), codeSandbox()]);
      for (const sandbox of open) await sandbox.eval('held = bytearray(30_000_000); len(held)');
      Object.assign(window, { open });
    });
  const end = () =>
    page.evaluate(() => {
      for (const sandbox of /** @type {any} */ (window).open) sandbox.close();
    });
  // Warms up: files and compiled code of the first use are retained.
  await use();
  await end();
  await page.waitForTimeout(1500);
  const before = memory();
  await use();
  const during = memory();
  await end();
  let after = memory();
  for (let tries = 0; tries < 30 && after > before + 60; tries += 1) {
    await page.waitForTimeout(500);
    after = memory();
  }
  console.log(`memory of the browser: ${before} MB, with three more sandboxes ${during} MB, without them ${after} MB`);
  assert.ok(during > before + 150, `${during} MB`);
  assert.ok(after <= before + 60, `${after} MB`);
  await close();
});
