// Uses the page at `/` of the running worker as a person does. Leaves screenshots in target/page.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openChromium, openPage } from './browser.mjs';

const url = new URL('/', process.env.MCP_URL);
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = fileURLToPath(new URL('../../target/page', import.meta.url));

/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  browser = await openChromium();
});

after(() => browser?.close());

/** The page's violations of accessibility rules. @param {import('playwright-core').Page} page */
async function violations(page) {
  // Evaluated by the driver, as the page's policy, which does not apply to that, forbids to load scripts.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => /** @type {any} */ (window).axe.run());
  return violations.map(
    (/** @type {any} */ { id, nodes }) => `${id}: ${nodes.map((/** @type {any} */ node) => node.html).join(' ')}`,
  );
}

/** Replaces the program in the editor, as a person does. @param {import('playwright-core').Page} page @param {string} code */
async function write(page, code) {
  const editor = page.getByRole('textbox', { name: 'Python code' });
  await editor.click();
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(code);
}

describe('by keyboard and mouse', () => {
  /** @type {Awaited<ReturnType<typeof openPage>>} */
  let opened;
  /** @type {import('playwright-core').Page} */
  let page;

  before(async () => {
    opened = await openPage(browser, url.href, { viewport: { width: 1200, height: 900 } });
    ({ page } = opened);
  });

  after(() => opened?.close());

  test('the page is there before Python is', async () => {
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.getByText(/endpoint is up: version .* Python 3\.14/).waitFor();
    assert.match((await page.getByText('claude mcp add').textContent()) ?? '', new RegExp(`${url.host}/mcp$`));
    assert.deepEqual(
      await page.evaluate(() =>
        performance
          .getEntriesByType('resource')
          .map(({ name }) => name)
          .filter((name) => name.endsWith('.bin')),
      ),
      [],
    );
  });

  test('Run shows text as it comes, and the value', async () => {
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByText(/Done in/).waitFor();
    assert.match((await page.getByRole('log').textContent()) ?? '', /^Python 3\.14.*\na warning\n$/s);
    assert.match((await page.getByRole('group', { name: 'Value' }).textContent()) ?? '', /"5": 25/);
  });

  test('variables stay until Reset', async () => {
    await write(page, 'kept = 41');
    await page.keyboard.press('Control+Enter');
    await page.getByText(/Done in/).waitFor();
    await write(page, 'kept + 1');
    await page.keyboard.press('Shift+Enter');
    await page.getByRole('group', { name: 'Value' }).getByText('42').waitFor();
    await page.getByRole('button', { name: 'Reset' }).click();
    await page.keyboard.press('Tab');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByText(/NameError: name 'kept' is not defined/).waitFor();
  });

  test('an error is shown with its line, and leads there', async () => {
    await page.getByLabel('Example').selectOption('An error');
    await page.getByRole('button', { name: 'Run' }).click();
    const alert = page.getByRole('alert');
    await alert.getByText(/ZeroDivisionError: division by zero/).waitFor();
    assert.equal(await page.locator('.error-line').textContent(), '    return a / b');
    await page.getByRole('button', { name: 'Go to line 2' }).click();
    // The editor notices the focus a few milliseconds later.
    await page.locator('.cm-editor.cm-focused').waitFor();
    assert.equal(await page.evaluate(() => getSelection()?.toString()), '    return a / b');
    await page.screenshot({ path: join(SHOTS, 'error.png') });
  });

  test('Stop ends an endless loop, and the next run works', async () => {
    await page.getByLabel('Example').selectOption('An endless loop');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByRole('log').getByText('and counting').first().waitFor();
    const start = performance.now();
    await page.keyboard.press('Enter');
    await page.getByText(/Stopped after/).waitFor();
    assert.ok(performance.now() - start < 10_000);
    // The user stopped it, so it is not shown as a failure.
    assert.equal(await page.getByRole('alert').count(), 0);
    await page.getByRole('button', { name: /Go to line [2-5]/ }).waitFor();
    await write(page, '"alive"');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByRole('group', { name: 'Value' }).getByText('alive').waitFor();
  });

  test('a list of records is a table', async () => {
    await page.getByLabel('Example').selectOption('A table');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByRole('columnheader', { name: 'deviation' }).waitFor();
    assert.equal(await page.getByRole('row').count(), 4);
  });

  test('a figure is drawn, and says what it is', { timeout: 120_000 }, async () => {
    await page.getByLabel('Example').selectOption('A figure');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByText(/Done in|Failed after/).waitFor({ timeout: 100_000 });
    const figure = page.getByRole('img', { name: 'Figure 1' });
    await figure.waitFor();
    // A canvas: the policy of a page may forbid images, whatever their address is.
    const [width, height, colours] = await figure.evaluate((canvas) => {
      const { width, height } = /** @type {HTMLCanvasElement} */ (canvas);
      const { data } = /** @type {any} */ (canvas).getContext('2d').getImageData(0, 0, width, height);
      return [width, height, new Set(new Uint32Array(data.buffer)).size];
    });
    assert.ok(width >= 600 && height >= 250 && colours > 10, `${width} x ${height}, ${colours} colours`);
    const box = await figure.boundingBox();
    assert.ok(box && box.width > 300 && box.height > 100, JSON.stringify(box));
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: join(SHOTS, 'figure.png'), fullPage: true });
  });

  test('a DataFrame is the text that Python has for it, and its records are a table', {
    timeout: 120_000,
  }, async () => {
    await write(page, 'import pandas as pd\nfruit = pd.DataFrame({"fruit": ["fig", "plum"], "kg": [2.5, 4]})\nfruit');
    await page.keyboard.press('Control+Enter');
    const value = page.getByRole('group', { name: 'Value' });
    await value.getByText('plum').waitFor({ timeout: 100_000 });
    assert.equal(await value.textContent(), '  fruit   kg\n0   fig  2.5\n1  plum  4.0');
    await write(page, 'fruit.to_dict("records")');
    await page.keyboard.press('Control+Enter');
    await page.getByRole('columnheader', { name: 'kg' }).waitFor();
    assert.deepEqual(await page.getByRole('cell').allTextContents(), ['fig', '2.5', 'plum', '4.0']);
  });

  test('the network is not there', async () => {
    await page.getByLabel('Example').selectOption('No way out');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByText('a command of the system: refused').waitFor();
    const lines = ((await page.locator('python-sandbox .output').textContent()) ?? '').trimEnd().split('\n');
    const attempts = ['urllib', 'fetch', 'fetch', 'a socket', 'the document', 'what this site has stored', 'a command'];
    assert.equal(lines.length, attempts.length, lines.join('\n'));
    for (const [index, what] of attempts.entries())
      assert.match(lines[index], new RegExp(`^${what}.*: refused, \\w+: .+`), lines[index]);
  });

  test('a snippet is copied', async () => {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.getByRole('button', { name: 'Copy the snippet for Claude Code' }).click();
    assert.match(
      await page.evaluate(() => navigator.clipboard.readText()),
      /^claude mcp add --transport http python http/,
    );
  });

  test('nothing was complained of', () => {
    assert.deepEqual(opened.complaints, []);
  });
});

for (const [name, options, example] of /** @type {const} */ ([
  ['light', { viewport: { width: 1200, height: 900 }, colorScheme: 'light' }, 'Hello'],
  ['dark', { viewport: { width: 1200, height: 900 }, colorScheme: 'dark' }, 'An error'],
  ['narrow', { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 }, 'A table'],
])) {
  test(`${name}: nothing stands in anybody’s way`, async () => {
    const { page, close } = await openPage(browser, url.href, options);
    await page.getByLabel('Example').selectOption(example);
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByText(/Done in|Failed after/).waitFor();
    for (const summary of await page.locator('summary').all()) await summary.click();
    const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width[0] <= width[1], `the page is ${width[0]} wide in a window of ${width[1]}`);
    assert.deepEqual(await violations(page), []);
    for (const summary of await page.locator('summary').all()) await summary.click();
    await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
    await close();
  });
}

test('the browser’s own agent finds the tool where it looks for it (WebMCP)', async () => {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    /** @type {any[]} */
    const tools = [];
    const modelContext = { registerTool: (/** @type {any} */ tool) => tools.push(tool) };
    Object.defineProperty(navigator, 'modelContext', { value: modelContext });
    Object.assign(window, { tools });
  });
  const page = await context.newPage();
  await page.goto(url.href);
  await page.waitForFunction(() => /** @type {any} */ (window).tools.length > 0);
  const seen = await page.evaluate(async () => {
    const { tools } = /** @type {any} */ (window);
    const answer = await tools[0].execute({ python_code: 'print("told")\nx * 2', global_variables: { x: 21 } });
    return { names: tools.map((/** @type {any} */ { name }) => name), schema: tools[0].inputSchema.required, answer };
  });
  await context.close();
  assert.deepEqual([seen.names, seen.schema], [['run_python_code'], ['python_code']]);
  assert.deepEqual(seen.answer.structuredContent, { status: 'success', output: ['told'], return_value: 42 });
  assert.deepEqual(JSON.parse(seen.answer.content[0].text), seen.answer.structuredContent);
});

test('with reduced colours and no script for the editor, the plain one does', async () => {
  const { page, close } = await openPage(browser, url.href, { forcedColors: 'active' });
  await page.route(/code-editor-/, (route) => route.abort());
  await page.reload();
  const editor = page.getByRole('textbox', { name: 'Python code' });
  await editor.fill('7 * 6');
  await editor.press('Control+Enter');
  await page.getByRole('group', { name: 'Value' }).getByText('42').waitFor();
  await close();
});
