// The worker in a workerd process of the desk: starts isolates, each with one interpreter, and carries runs in and
// frames out. It looks at neither.
//
// First of all it is sent what isolates are made of: POST /assets, an envelope. Files that are embedded in workerd's
// configuration stay in its memory several times over. POST /data before it: an archive of files that each interpreter has.
//
// An interpreter is a Durable Object whose facet is of a class from an isolate of its own; its name is whatever the
// supervisor calls it. POST /NAME/boot (an envelope with its packages), then /NAME/run (the JSON of a run: its frames),
// /NAME/stop, /NAME/answer (to a call of the run that goes on), /NAME/files (a session's files; GET gives them) and /NAME/end.
// Or only /NAME/snapshot: an envelope with packages and the names of modules; gives a snapshot of what has imported them.
import { DurableObject } from 'cloudflare:workers';
import { Envelope, envelopeStream } from './envelope.js';

/** The modules of an isolate. WebAssembly is compiled once, here, and shared. @type {Record<string, object>} */
const modules = {};
/** What an isolate's first request brings along (isolate.js), in this order. @type {ArrayBuffer[]} */
const archives = [];
/** @type {ArrayBuffer} */
let snapshot;
/** @type {ArrayBuffer | undefined} */
let data;

const FACET = 'python';

/** **Boundary.** Nothing is reachable from an isolate: no network (left out, it would inherit ours), no bindings. */
const code = {
  compatibilityDate: '2026-06-01',
  mainModule: 'isolate.js',
  modules,
  globalOutbound: null,
  env: {},
};

/** @typedef {{ name: string, version: string, modules: string[] }} Package with the paths of its libraries */

/** @typedef {{ file: string, kind: 'js' | 'text' | 'wasm' | 'archive' | 'snapshot' }} Asset */

/**
 * Takes what isolates are made of.
 * @param {Request} request @param {any} env
 */
async function takeAssets(request, env) {
  const sent = await Envelope.open(request.body);
  const decoder = new TextDecoder();
  for (const { file, kind } of /** @type {Asset[]} */ (JSON.parse(sent.text))) {
    const bytes = await sent.part();
    if (!bytes) throw new Error('an asset is missing');
    if (kind === 'snapshot') snapshot = bytes;
    else if (kind === 'archive') archives.push(bytes);
    else if (kind === 'wasm') modules[file] = { wasm: env.COMPILER.newWasmModule(bytes, file) };
    else modules[file] = { [kind]: decoder.decode(bytes) };
  }
}

export class Interpreter extends DurableObject {
  #code = code;

  /** @param {Request} request */
  async fetch(request) {
    const action = new URL(request.url).pathname.split('/').at(-1);
    const url = `http://sandbox/${action}`;
    switch (action) {
      case 'end':
        this.ctx.facets.delete(FACET);
        // The object itself is of no more use, and nothing else would end it.
        this.ctx.abort('ended');
        return new Response(null, { status: 204 });
      case 'stop':
        return this.#facet.fetch(url, { method: 'POST' });
      case 'answer':
        return this.#facet.fetch(url, { method: 'POST', body: await request.text() });
      case 'files':
        if (request.method === 'GET') return this.#facet.fetch(url);
        return this.#send(url, '', await request.arrayBuffer());
      case 'boot': {
        const sent = await Envelope.open(request.body);
        const { packages, isSnapshotted } = JSON.parse(sent.text);
        const bytes = await sent.parts();
        const added = this.#add(packages, bytes);
        const booted = await this.#send(url, '', ...archives, ...added, isSnapshotted ? bytes[0] : snapshot);
        return data && booted.ok ? this.#send('http://sandbox/data', '', data) : booted;
      }
      case 'snapshot': {
        const sent = await Envelope.open(request.body);
        const { packages, modules } = JSON.parse(sent.text);
        const added = this.#add(packages, await sent.parts());
        return this.#send(url, JSON.stringify(modules), ...archives, ...added, snapshot);
      }
      default:
        return this.#facet.fetch(url, { method: 'POST', body: await request.text() });
    }
  }

  get #facet() {
    return this.ctx.facets.get(FACET, () => ({
      class: this.env.LOADER.load(this.#code).getDurableObjectClass('Python'),
    }));
  }

  /** @param {string} url @param {string} text @param {ArrayBuffer[]} parts */
  #send(url, text, ...parts) {
    return this.#facet.fetch(url, { method: 'POST', body: envelopeStream(text, parts) });
  }

  /**
   * Adds packages to the isolate that is to be started.
   * @param {Package[]} packages
   * @param {ArrayBuffer[]} bytes of each package: its archive, and its libraries; they are taken from it
   * @returns {ArrayBuffer[]} the archives
   */
  #add(packages, bytes) {
    if (!packages.length) return [];
    /** @type {Record<string, object>} */
    const added = {};
    /** @type {string[]} */
    const imports = [];
    /** @type {ArrayBuffer[]} */
    const fetched = [];
    const entries = packages.map(({ name, version, modules: paths }, n) => {
      fetched.push(/** @type {ArrayBuffer} */ (bytes.shift()));
      const libraries = paths.map((path, k) => {
        const file = `packages/${n}/${k}.wasm`;
        added[file] = { wasm: bytes.shift() };
        imports.push(`import m${n}_${k} from '../${file}';\n`);
        // **Boundary.** Names of packages and paths in them are a stranger's: they are JSON here, and nothing else.
        return `[${JSON.stringify(path)}, m${n}_${k}]`;
      });
      return `{ name: ${JSON.stringify(name)}, version: ${JSON.stringify(version)}, modules: [${libraries}] }`;
    });
    added['packages/index.js'] = { js: `${imports.join('')}export default [\n${entries.join(',\n')}];\n` };
    this.#code = { ...code, modules: { ...modules, ...added } };
    return fetched;
  }
}

export default {
  /** @param {Request} request @param {any} env */
  async fetch(request, env) {
    if (request.headers.get('authorization') !== env.SECRET) return new Response(null, { status: 403 });
    const [, name] = new URL(request.url).pathname.split('/');
    // Whether this process still answers.
    if (!name) return new Response(null, { status: 204 });
    if (name === 'data') {
      data = await request.arrayBuffer();
      return new Response(null, { status: 204 });
    }
    if (name === 'assets') {
      await takeAssets(request, env);
      return new Response(null, { status: 204 });
    }
    return env.INTERPRETERS.getByName(name).fetch(request);
  },
};
