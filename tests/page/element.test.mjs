// `<python-sandbox>` embedded in another site, under that site's policy.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

/** @param {string} elements */
const pageWith = (elements) => ({
  body: `<!doctype html><html lang="en"><title>A page</title>
<script type="module" src="/python-sandbox.js"></script>
<main>${elements}</main>`,
  headers: { 'content-security-policy': "default-src 'self'" },
});

/** @type {Awaited<ReturnType<typeof serveSite>>} */
let site;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  site = await serveSite({
    '/one': pageWith(`<python-sandbox dependencies="numpy" label="A sum">
      import numpy as np
      print("adding")
      np.arange(10).sum()
    </python-sandbox>
    <python-sandbox time-limit="2" label="A loop">
      print("begun")
      while True: pass
    </python-sandbox>`),
    '/numbers': pageWith('<python-sandbox persistent label="Numbers">[3.0, 2**70, 1, 1e16, -0.0, {}]</python-sandbox>'),
    '/two': pageWith(`<python-sandbox persistent label="First">x = 1</python-sandbox>
      <python-sandbox persistent label="Second">"x" in globals()</python-sandbox>`),
  });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  site?.close();
});

test('it runs what is written in it, tells of it by events, and keeps to its time limit', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/one`);
  const seen = await page.evaluate(async () => {
    await customElements.whenDefined('python-sandbox');
    const [element, loop] = /** @type {any[]} */ ([...document.querySelectorAll('python-sandbox')]);
    const status = element.shadowRoot.querySelector('[role=status]');
    /** @type {string[]} */
    const said = [];
    new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
    /** @type {any[]} */
    const events = [];
    for (const type of ['output', 'result']) {
      for (const one of [element, loop]) {
        one.addEventListener(type, (/** @type {CustomEvent} */ { detail }) => events.push([type, detail]));
      }
    }
    const sum = await element.run();
    const late = await loop.run();
    return { code: element.code, sum, late, events, said };
  });
  assert.deepEqual(seen.sum, { status: 'success', output: ['adding'], return_value: 45, images: [] });
  assert.match(seen.late.error, /TimeoutError: the run took longer than 2 s/);
  assert.deepEqual(seen.events, [
    ['output', { stream: 'stdout', text: 'adding' }],
    ['result', seen.sum],
    ['output', { stream: 'stdout', text: 'begun' }],
    ['result', seen.late],
  ]);
  const progress = seen.said.filter((line) => /numpy/.test(line));
  assert.ok(progress.length > 0, seen.said.join('\n'));
  assert.deepEqual(complaints, []);
  await close();
});

test('numbers are shown as Python wrote them, and told as a sandbox tells them', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/numbers`);
  const seen = await page.evaluate(async () => {
    await customElements.whenDefined('python-sandbox');
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    const shown = (/** @type {string} */ selector) =>
      [...element.shadowRoot.querySelectorAll(selector)].map((/** @type {Element} */ { textContent }) => textContent);
    const { return_value } = await element.run();
    const list = shown('.value');
    element.code = '[{"float": 3.0, "int": 2**70}, {"float": 0.5, "int": [1, 2.0]}]';
    await element.run();
    const cells = shown('td');
    element.code = '2**70';
    await element.run();
    return { return_value, list, cells, whole: shown('.value') };
  });
  assert.deepEqual(seen.return_value, [3, 2n ** 70n, 1, 1e16, -0, {}]);
  assert.deepEqual(seen.list, ['[\n  3.0,\n  1180591620717411303424,\n  1,\n  1e16,\n  -0.0,\n  {}\n]']);
  assert.deepEqual(seen.cells, ['3.0', '1180591620717411303424', '0.5', '[1,2.0]']);
  assert.deepEqual(seen.whole, ['1180591620717411303424']);
  assert.deepEqual(complaints, []);
  await close();
});

test('files that a person gives, or drops, are there for each run', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/numbers`);
  await page.evaluate(() => customElements.whenDefined('python-sandbox'));
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('python-sandbox .give')]);
  await chooser.setFiles([
    { name: 'a.csv', mimeType: 'text/csv', buffer: Buffer.from('x,y\n1,2\n') },
    { name: 'raw.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0, 255]) },
  ]);
  const seen = await page.evaluate(async () => {
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    const root = element.shadowRoot;
    const dropped = new DataTransfer();
    dropped.items.add(new File(['dropped'], 'd.txt'));
    const drop = () =>
      root
        .querySelector('.editor')
        .dispatchEvent(
          new DragEvent('drop', { dataTransfer: dropped, bubbles: true, composed: true, cancelable: true }),
        );
    const before = element.code;
    const prevented = !drop();
    element.code = 'import os\n{name: open(name, "rb").read() for name in sorted(os.listdir())}';
    const first = await element.run();
    // A program deletes a given file: the next run gets it again.
    element.code = 'import os\nos.remove("a.csv")\nsorted(os.listdir())';
    const second = await element.run();
    const items = () => [...root.querySelectorAll('.given li')].map(({ firstChild }) => firstChild.textContent);
    const all = items();
    root.querySelector('.given button').click();
    element.code = 'import os\nsorted(os.listdir())';
    const third = await element.run();
    return { prevented, kept: before !== 'dropped', first, second, third, all, left: items() };
  });
  assert.ok(seen.prevented && seen.kept);
  assert.deepEqual(seen.first.return_value, { 'a.csv': 'x,y\n1,2\n', 'd.txt': 'dropped', 'raw.bin': "b'\\x00\\xff'" });
  assert.deepEqual(seen.second.return_value, ['d.txt', 'raw.bin']);
  assert.deepEqual(seen.all, ['a.csv (8 bytes)', 'raw.bin (2 bytes)', 'd.txt (7 bytes)']);
  assert.deepEqual(seen.third.return_value, ['d.txt', 'raw.bin'], 'that one was taken back');
  assert.deepEqual(seen.left, ['raw.bin (2 bytes)', 'd.txt (7 bytes)']);
  assert.deepEqual(complaints, []);
  await close();
});

test('files are listed, and a download is nothing that the page shows', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/numbers`);
  const items = await page.evaluate(async () => {
    await customElements.whenDefined('python-sandbox');
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    element.code = `open('a.html', 'w').write('<script>top.owned = 1</script>')
open('big.bin', 'wb').write(bytes(300_000))`;
    await element.run();
    return [...element.shadowRoot.querySelectorAll('.files li')].map(({ textContent }) => textContent);
  });
  assert.deepEqual(items, ['a.html (created, 30 bytes)Download', 'big.bin (created, 300000 bytes)Download']);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('python-sandbox .download')]);
  assert.equal(download.suggestedFilename(), 'a.html');
  const kept = await download.path();
  assert.equal(readFileSync(kept, 'utf8'), '<script>top.owned = 1</script>');
  // A file that is too large for the result is read when it is downloaded.
  const last = page.locator('python-sandbox .download').last();
  const [large] = await Promise.all([page.waitForEvent('download'), last.click()]);
  assert.equal(large.suggestedFilename(), 'big.bin');
  assert.equal(readFileSync(await large.path()).length, 300_000);
  assert.deepEqual(complaints, []);
  await close();
});

test('two share nothing; one that is moved stays, and one that is removed leaves nothing', async () => {
  const { page, complaints, close } = await openPage(browser, `${site.url}/two`);
  const seen = await page.evaluate(async () => {
    await customElements.whenDefined('python-sandbox');
    const [first, second] = /** @type {any[]} */ ([...document.querySelectorAll('python-sandbox')]);
    const frames = () => document.querySelectorAll('iframe').length;
    const [, other] = await Promise.all([first.run(), second.run()]);
    const both = frames();
    document.body.append(first);
    first.code = 'x + 1';
    const moved = await first.run();
    first.code = 'print("on")\nwhile True: pass';
    const running = first.run();
    await new Promise((resolve) => first.addEventListener('output', resolve, { once: true }));
    first.remove();
    const ended = await running;
    const left = frames();
    second.remove();
    await new Promise((resolve) => setTimeout(resolve));
    return { other: other.return_value, both, moved: moved.return_value, ended, left, none: frames() };
  });
  assert.deepEqual(seen, { other: false, both: 2, moved: 2, ended: undefined, left: 1, none: 0 });
  assert.deepEqual(complaints, []);
  await close();
});
