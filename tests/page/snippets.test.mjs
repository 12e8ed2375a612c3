// The snippets that the page offers for copying work: each is taken from the page and used unchanged.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { accessSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openChromium, openPage } from './browser.mjs';
import { serveSite } from './site.mjs';

const url = new URL('/', process.env.MCP_URL);
const root = fileURLToPath(new URL('../..', import.meta.url));
const command = promisify(execFile);
const options = { cwd: root, timeout: 100_000 };

/** @type {import('playwright-core').Browser} */
let browser;
/** Snippets by their name. @type {Record<string, string>} */
let snippets;
/** The addresses of the footer's links, by text. @type {Record<string, string>} */
let links;
/** @type {string} */
let head;
/** A folder within the project, whose npm packages the snippets import. */
const folder = mkdtempSync(join(root, 'target/snippets-'));

before(async () => {
  browser = await openChromium();
  const { page, close } = await openPage(browser, url.href);
  await page.locator('.snippet').first().waitFor();
  ({ snippets, links, head } = await page.evaluate(() => ({
    snippets: Object.fromEntries(
      [...document.querySelectorAll('.snippets details')].map((one) => [
        one.querySelector('summary')?.textContent ?? '',
        one.querySelector('pre')?.textContent ?? '',
      ]),
    ),
    links: Object.fromEntries(
      [...document.querySelectorAll('footer a')].map((link) => [link.textContent, link.getAttribute('href') ?? '']),
    ),
    head: document.head.innerHTML,
  })));
  await close();
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** @param {string} name how it begins */
const snippet = (name) => Object.entries(snippets).find(([full]) => full.startsWith(name))?.[1] ?? assert.fail(name);

/** The Python of one of the tests' virtual environments. @param {string} environment */
const python = (environment) => join(root, 'target', environment, 'bin/python');

/** @param {string} program @param {string} text */
const indented = (program, text) => program.replace(/^/gm, text);

/** Runs a program of Python. @param {string} interpreter @param {string} program */
async function runPython(interpreter, program) {
  const path = join(folder, 'program.py');
  writeFileSync(path, program);
  const env = { ...process.env, ANTHROPIC_API_KEY: 'none', OPENAI_API_KEY: 'none' };
  return (await command(interpreter, [path], { ...options, env })).stdout;
}

test('JSON configurations are what clients read', () => {
  const server = { type: 'http', url: new URL('mcp', url).href };
  assert.deepEqual(JSON.parse(snippet('Cursor')), { mcpServers: { python: server } });
  assert.deepEqual(JSON.parse(snippet('VS Code')), { servers: { python: server } });
});

test('a command names the endpoint', () => {
  assert.equal(snippet('Claude Code'), `claude mcp add --transport http python ${new URL('mcp', url)}`);
});

test('Python, by the package mcp', async () => {
  const interpreter = python('venv');
  const program = `import asyncio\nasync def main():\n${indented(snippet('Python, package mcp'), '    ')}\n    print(result)\nasyncio.run(main())`;
  const said = await runPython(interpreter, program);
  assert.match(said, /<return_value>\\n2\\n<\/return_value>/);
});

test('Pydantic AI', async () => {
  const interpreter = python('venv');
  // The library's test model, which calls the tool, replaces a provider's, which costs money.
  const snippeted = snippet('Pydantic AI');
  const tested = snippeted.replace(/'anthropic:[^']+'/, "'test'");
  assert.notEqual(tested, snippeted);
  const program = `import asyncio
${tested}
from pydantic_ai.models.test import TestModel
async def main():
    result = await agent.run('x', model=TestModel(call_tools=['run_python_code']))
    print(result.all_messages())
asyncio.run(main())`;
  const said = await runPython(interpreter, program);
  assert.match(said, /ToolReturnPart\(tool_name='run_python_code'/);
});

test('the OpenAI Agents SDK', async () => {
  const interpreter = python('venv-examples');
  const program = `import asyncio
async def main():
${indented(snippet('OpenAI Agents SDK'), '    ')}
        print([tool.name for tool in await server.list_tools()], agent.name)
asyncio.run(main())`;
  assert.match(await runPython(interpreter, program), /run_python_code.*analyst/);
});

test('TypeScript', async () => {
  const path = join(folder, 'program.mjs');
  const use = `const result = await client.callTool({ name: 'run_python_code', arguments: { python_code: '1 + 1' } });
console.log(JSON.stringify(result.structuredContent));
await client.close();`;
  writeFileSync(path, `${snippet('TypeScript')}\n${use}`);
  const { stdout } = await command(process.execPath, [path], options);
  assert.equal(JSON.parse(stdout).return_value, 2);
});

test('an element and a function, in a page of their own', async () => {
  const site = await serveSite({
    '/element': { body: `<!doctype html><title>A page</title>${snippet('An element')}` },
    '/function': {
      body: `<!doctype html><title>A page</title><script type="module">${snippet('A function').replaceAll("'numpy'", '')}
window.seen = [status, output, return_value];</script>`,
    },
  });
  const { page, close } = await openPage(browser, `${site.url}/function`);
  await page.waitForFunction(() => /** @type {any} */ (window).seen);
  assert.deepEqual(await page.evaluate(() => /** @type {any} */ (window).seen), ['success', ['21'], 42]);
  await page.goto(`${site.url}/element`);
  await page.waitForFunction(() => customElements.get('python-sandbox'));
  const [code, dependencies] = await page.evaluate(() => {
    const element = /** @type {any} */ (document.querySelector('python-sandbox'));
    return [element.code, element.dependencies];
  });
  assert.deepEqual([code, dependencies], ['import numpy as np\n\nnp.arange(10).sum()', ['numpy']]);
  await close();
  site.close();
});

test('links lead where Cargo.toml says that the project is, to files that there are', () => {
  const repository = /^repository = "(.+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1] ?? '';
  assert.deepEqual(Object.keys(links), ['Documentation', 'Security', 'Licence', 'Source', 'Status as JSON']);
  assert.equal(links.Source, repository);
  for (const name of ['Documentation', 'Security', 'Licence']) {
    assert.ok(links[name].startsWith(`${repository}/`), links[name]);
    accessSync(join(root, links[name].slice(repository.length).replace(/^\/(?:tree|blob)\/HEAD\//, '')));
  }
});

test('it says what it is to whoever shows a link to it', () => {
  for (const name of ['title', 'description', 'type', 'site_name'])
    assert.match(head, new RegExp(`<meta property="og:${name}" content="[^"]+">`));
  assert.match(head, /<link rel="icon" href="data:image\/svg\+xml,[^"]+">/);
});
