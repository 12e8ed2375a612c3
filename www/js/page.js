// The page at `/`: what this is, a sandbox to try, how to connect.
import './python-sandbox.js';
import manifest from '#manifest';
import { codeSandbox } from './code-sandbox.js';
import { clients, embeddings, examples } from './page-texts.js';
import { registerWebMcp } from './webmcp.js';

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

const endpoint = new URL('mcp', document.baseURI).href;
byId('endpoint').textContent = endpoint;
byId('clients').append(snippets(clients(endpoint)));
byId('embed').append(snippets(embeddings(new URL('.', document.baseURI).href)));
byId('size').textContent = `${(manifest.files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(0)} MB`;

const sandbox = byId('sandbox');
const select = byId('example');
for (const name of Object.keys(examples)) select.add(new Option(name));
select.addEventListener('change', () => {
  sandbox.code = examples[select.value];
  byId('came').hidden = true;
});
// A program that was kept from before a reload stays.
if (!sandbox.restored) sandbox.code = Object.values(examples)[0];

/** The most characters of a program that a link carries. */
const MAX_LINKED = 20_000;

/**
 * **Boundary.** A link may come from anyone: its program is put into the editor, and a person runs it, or does not.
 */
function readLink() {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (!code || code.length > MAX_LINKED) return;
  sandbox.code = code;
  byId('came').hidden = false;
}
readLink();
addEventListener('hashchange', readLink);

byId('link').addEventListener('click', async (/** @type {Event} */ { target }) => {
  const button = /** @type {HTMLElement} */ (target);
  const { code } = sandbox;
  if (code.length > MAX_LINKED) {
    button.textContent = 'Too long';
  } else {
    const link = new URL(`#${new URLSearchParams({ code })}`, document.baseURI).href;
    // Without the clipboard, the address of this page becomes the link.
    button.textContent = await navigator.clipboard.writeText(link).then(
      () => 'Copied',
      () => {
        history.replaceState(null, '', link);
        return 'See the address';
      },
    );
  }
  setTimeout(() => {
    button.textContent = 'Copy a link';
  }, 2000);
});

void health();
void webMcp();

/** Shows whether there is an endpoint beside this page, which may also be served as plain files. */
async function health() {
  const line = byId('health');
  try {
    const response = await fetch(new URL('health', document.baseURI));
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const { version, python } = await response.json();
    line.textContent = `endpoint is up: version ${version}, Python ${python}`;
    line.classList.add('good');
    byId('version').textContent = ` · version ${version}`;
  } catch {
    line.textContent = 'no endpoint here, the sandbox in this page works';
    line.classList.add('bad');
    byId('endpoint-line').hidden = true;
  }
}

/** The browser's own agent gets a sandbox of its own, made when it first asks. */
async function webMcp() {
  /** @type {Promise<import('./index.js').Sandbox> | undefined} */
  let opening;
  registerWebMcp(
    /** @type {any} */ ({
      /** @param {string} code @param {any} globals */
      async eval(code, globals) {
        opening ??= codeSandbox();
        return (await opening).eval(code, globals);
      },
    }),
  );
}

/** @param {[string, string][]} items */
function snippets(items) {
  const list = document.createElement('div');
  list.className = 'snippets';
  for (const [index, [name, text]] of items.entries()) {
    const details = document.createElement('details');
    details.open = index === 0;
    const summary = document.createElement('summary');
    summary.textContent = name;
    const body = document.createElement('div');
    body.className = 'snippet';
    const pre = document.createElement('pre');
    pre.tabIndex = 0;
    pre.setAttribute('role', 'region');
    pre.ariaLabel = `${name}: snippet`;
    pre.textContent = text;
    const copy = document.createElement('button');
    copy.textContent = 'Copy';
    copy.ariaLabel = `Copy the snippet for ${name}`;
    copy.addEventListener('click', async () => {
      copy.textContent = await navigator.clipboard.writeText(text).then(
        () => 'Copied',
        () => 'Press Ctrl+C',
      );
      if (copy.textContent !== 'Copied') getSelection()?.selectAllChildren(pre);
      setTimeout(() => {
        copy.textContent = 'Copy';
      }, 2000);
    });
    body.append(pre, copy);
    details.append(summary, body);
    list.append(details);
  }
  return list;
}
