// Makes the pictures of README.md from what really happens: `node docs/pictures/make.mjs COMMAND`, where COMMAND is the
// installed program (`target/home/mcp-run-python`). CHROMIUM names a browser, if it is not /usr/bin/chromium.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const [command] = process.argv.slice(2);
if (!command) throw new Error('node docs/pictures/make.mjs COMMAND');
/** @param {string} name */
const place = (name) => fileURLToPath(new URL(name, import.meta.url));

/** A program of the kind that models write, and one that wants out. */
const PROGRAMS = [
  'import statistics\nprint("two files, no network")\nstatistics.mean([len(name) for name in ["a.csv", "b.json"]])',
  'open("/etc/passwd").read()',
  'import urllib.request\nurllib.request.urlopen("http://169.254.169.254/")',
  'while True: pass',
];

/** What the server answers, as a model reads it. @param {string[]} programs */
async function answers(programs) {
  const server = spawn(command, ['--time-limit', '2', 'stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  /** @param {object} message */
  const say = (message) => server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  let id = 0;
  /** @param {string} method @param {object} params */
  const ask = async (method, params) => {
    say({ id: ++id, method, params });
    for (;;) {
      const { value } = await lines.next();
      const message = JSON.parse(value);
      if (message.id === id) return message.result;
    }
  };
  const clientInfo = { name: 'pictures', version: '0' };
  await ask('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo });
  say({ method: 'notifications/initialized' });
  const texts = [];
  for (const python_code of programs) {
    const { content } = await ask('tools/call', { name: 'run_python_code', arguments: { python_code } });
    texts.push(content[0].text);
  }
  server.stdin.end();
  return texts;
}

/** @param {string} text */
const escaped = (text) => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** A terminal, as a picture of text: sharp at any size, and small. @param {[kind: string, text: string][]} lines */
function terminal(lines) {
  const [height, top, width] = [19, 44, 860];
  const rows = lines.map(
    ([kind, text], row) => `<text class="${kind}" x="18" y="${top + 14 + row * height}">${escaped(text)}</text>`,
  );
  const bottom = top + lines.length * height + 14;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottom}" role="img"
  aria-label="Four calls of run_python_code and their results">
<style>
  text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; fill: #d7dae0 }
  .call { fill: #8fc7ff } .title { fill: #9aa0aa }
</style>
<rect width="${width}" height="${bottom}" rx="8" fill="#16181d"/>
<g fill="#3b3f48"><circle cx="22" cy="20" r="6"/><circle cx="42" cy="20" r="6"/><circle cx="62" cy="20" r="6"/></g>
<text class="title" x="84" y="25">mcp-run-python stdio: what a model sends, and what it reads</text>
${rows.join('\n')}
</svg>
`;
}

/** Of a long result, the end says what happened. @param {string} text */
function shown(text) {
  const lines = text
    .split('\n')
    .filter(Boolean)
    .map((line) => (line.length > 98 ? `${line.slice(0, 97)}…` : line));
  return lines.length > 9 ? [...lines.slice(0, 2), '  …', ...lines.slice(-4)] : lines;
}

const results = await answers(PROGRAMS);
/** @type {[string, string][]} */
const lines = PROGRAMS.flatMap((program, i) => [
  .../** @type {[string, string][]} */ (
    program.split('\n').map((line, row) => ['call', `${row ? '...' : '>>>'} ${line}`])
  ),
  .../** @type {[string, string][]} */ (shown(results[i]).map((line) => ['result', line])),
  .../** @type {[string, string][]} */ (i < PROGRAMS.length - 1 ? [['result', '']] : []),
]);
writeFileSync(place('terminal.svg'), terminal(lines));

const server = spawn(command, ['--port', '0', 'streamable-http'], { stdio: ['ignore', 'ignore', 'pipe'] });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  let address = '';
  for await (const line of createInterface({ input: server.stderr })) {
    address = line.match(/ on (http:\S+)\/mcp/)?.[1] ?? '';
    if (address) break;
  }
  server.stderr.resume();
  const page = await browser.newPage({ viewport: { width: 900, height: 700 }, colorScheme: 'light' });
  await page.goto(`${address}/`);
  await page.getByText(/endpoint is up/).waitFor();
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText(/Done in/).waitFor({ timeout: 60_000 });
  await page.locator('#try').screenshot({ path: place('page.png') });
} finally {
  await browser.close();
  server.kill();
}
