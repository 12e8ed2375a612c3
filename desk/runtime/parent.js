// The parent worker in each of the desk's workerd processes. It starts isolates, each with one interpreter, and passes
// runs in and frames out without reading them.
//
// The supervisor first sends what isolates are made of: POST /assets, an envelope. (Files embedded in workerd's configuration
// would stay in its memory several times over.) POST /data before that: an archive of files that every interpreter gets.
//
// An interpreter is a Durable Object with a facet whose class comes from an isolate of its own. The supervisor chooses its
// name. POST /NAME/boot (an envelope with its packages), then /NAME/run (a run's JSON; returns its frames), /NAME/stop,
// /NAME/answer (the answer to a call of the current run), /NAME/files (a session's files; GET returns them) and /NAME/end.
// Or only /NAME/snapshot (packages and names of modules): returns a snapshot of an interpreter that has imported them.
//
// Native libraries of packages are sent once, before the interpreters that use them: POST /libraries, an envelope. They are
// compiled here: all isolates, also later ones, share the machine code that V8 makes of their functions.
import { DurableObject } from 'cloudflare:workers';
import { Envelope, envelope, envelopeStream } from './envelope.js';

/** The modules of an isolate. WebAssembly is compiled once, here, and shared. @type {Record<string, object>} */
const modules = {};
/** Archives that an isolate's first request carries (isolate.js), in this order. @type {ArrayBuffer[]} */
const archives = [];
/** @type {ArrayBuffer} */
let snapshot;
/** @type {ArrayBuffer | undefined} */
let data;
/** The native libraries of packages, by the supervisor's names for them. @type {Map<string, WebAssembly.Module>} */
const libraries = new Map();

const FACET = 'python';

/** **Boundary.** An isolate reaches nothing: no network (without `globalOutbound` it would inherit ours), no bindings. */
const code = {
  compatibilityDate: '2026-06-01',
  mainModule: 'isolate.js',
  modules,
  globalOutbound: null,
  env: {},
};

/** Libraries are pairs of a path in the package and a name in `libraries`. @typedef {{ name: string, version: string, modules: [string, string][] }} Package */

/** @typedef {{ file: string, kind: 'js' | 'text' | 'wasm' | 'archive' | 'snapshot' }} Asset */

/**
 * Stores what isolates are made of.
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

/**
 * Streams an envelope of the parts in `before`, the parts of `sent` that are still to come, and the parts in `after`. workerd
 * itself pipes those of `sent` through: they are never held here.
 * @param {string} text @param {ArrayBuffer[]} before @param {Envelope} sent @param {ReadableStream<Uint8Array> | null} body the
 * rest of `sent` @param {ArrayBuffer[]} after
 */
function joinedStream(text, before, sent, body, after) {
  // @ts-expect-error: workerd's own
  const { readable, writable } = new IdentityTransformStream();
  const join = async () => {
    await write(writable, envelope(text, before, [...sent.rest(), ...after.map((part) => part.byteLength)]));
    await body?.pipeTo(writable, { preventClose: true });
    await write(
      writable,
      after.map((part) => new Uint8Array(part)),
    );
    await writable.close();
  };
  join().catch((error) => writable.abort(error).catch(() => {}));
  return readable;
}

/** @param {WritableStream<Uint8Array>} stream @param {Uint8Array[]} pieces */
async function write(stream, pieces) {
  const writer = stream.getWriter();
  for (const piece of pieces) await writer.write(piece);
  writer.releaseLock();
}

/**
 * Compiles the native libraries in `added`, and drops all others that are not in `kept`.
 *
 * **Boundary.** Isolates of different principals share what is compiled here. It is immutable, and its name contains the hash of
 * its wheel, so nobody gets a library other than the one that was checked.
 * @param {Request} request @param {any} env
 */
async function takeLibraries(request, env) {
  const sent = await Envelope.open(request.body);
  /** @type {{ kept: string[], added: string[] }} */
  const { kept, added } = JSON.parse(sent.text);
  const keeps = new Set(kept);
  for (const name of libraries.keys()) if (!keeps.has(name)) libraries.delete(name);
  for (const name of added) libraries.set(name, env.COMPILER.newWasmModule(await sent.part(), name));
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
        // The object itself is no longer needed, and nothing else would end it.
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
        this.#add(packages);
        const after = isSnapshotted ? [] : [snapshot];
        // Without packages, all parts are here already: no pipe is needed.
        const body = packages.length
          ? joinedStream('', archives, sent, request.body, after)
          : envelopeStream('', [...archives, ...after]);
        const booted = await this.#facet.fetch(url, { method: 'POST', body });
        return data && booted.ok ? this.#send('http://sandbox/data', '', data) : booted;
      }
      case 'snapshot': {
        const sent = await Envelope.open(request.body);
        const { packages, modules } = JSON.parse(sent.text);
        this.#add(packages);
        const body = joinedStream(JSON.stringify(modules), archives, sent, request.body, [snapshot]);
        return this.#facet.fetch(url, { method: 'POST', body });
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

  /** Adds packages to the isolate that is to be started. @param {Package[]} packages */
  #add(packages) {
    if (!packages.length) return;
    /** @type {Record<string, object>} */
    const added = {};
    /** @type {string[]} */
    const imports = [];
    const entries = packages.map(({ name, version, modules: paths }, n) => {
      const modules = paths.map(([path, library], k) => {
        const file = `packages/${n}/${k}.wasm`;
        const wasm = libraries.get(library);
        if (!wasm) throw new Error('a library is missing');
        added[file] = { wasm };
        imports.push(`import m${n}_${k} from '../${file}';\n`);
        // **Boundary.** Package names and paths come from strangers: only as JSON strings do they enter this code.
        return `[${JSON.stringify(path)}, m${n}_${k}]`;
      });
      return `{ name: ${JSON.stringify(name)}, version: ${JSON.stringify(version)}, modules: [${modules}] }`;
    });
    added['packages/index.js'] = { js: `${imports.join('')}export default [\n${entries.join(',\n')}];\n` };
    this.#code = { ...code, modules: { ...modules, ...added } };
  }
}

export default {
  /** @param {Request} request @param {any} env */
  async fetch(request, env) {
    if (request.headers.get('authorization') !== env.SECRET) return new Response(null, { status: 403 });
    const [, name] = new URL(request.url).pathname.split('/');
    // Asks only whether this process still answers.
    if (!name) return new Response(null, { status: 204 });
    if (name === 'data') {
      data = await request.arrayBuffer();
      return new Response(null, { status: 204 });
    }
    if (name === 'assets' || name === 'libraries') {
      await (name === 'assets' ? takeAssets : takeLibraries)(request, env);
      return new Response(null, { status: 204 });
    }
    return env.INTERPRETERS.getByName(name).fetch(request);
  },
};
