// The main module of an isolate in workerd: takes runs in and sends their frames out (docs/protocol.md).
//
// The body of a POST is an envelope (envelope.js), unless noted. The first one begins with the start parts: the standard
// library, the packages' archives and the snapshot.
// - `POST /run`: a run's JSON; without an envelope, if the isolate has got the start parts before.
// - `POST /boot`: only the start parts.
// - `GET /files` returns a session's files, `POST /files` takes them, as the last part; `POST /data` takes read-only ones.
// - `POST /stop`: no body. `POST /answer`: the answer to a call of the current run, without an envelope.
// - `POST /snapshot`, instead of all others: the start parts, and as the text JSON of the modules to import. Returns the
//   snapshot, or 409 with the name of a module that it cannot have.
//
// **Boundary.** Everything in this isolate belongs to the Python code that runs in it, this file included once the
// code has become JavaScript. Nothing here protects anybody else; the parent does (no network, no bindings, one
// isolate for one run or one session, and every byte that leaves is decoded as an attacker's).
import './shim.js';
import { DurableObject } from 'cloudflare:workers';
import { Drawing, drawsCounted, Interpreter } from './boot.js';
import { Envelope } from './envelope.js';
import { mountData, packFiles, unpackFiles } from './files.js';
import kdf from './kdf.wasm';
import packages from './packages/index.js';
import createPyodideModule from './pyodide.asm.mjs';
import { loadPyodide } from './pyodide.mjs';
import lockFile from './pyodide-lock.txt';
import symbols from './symbols.txt';

/** @type {Promise<Interpreter> | undefined} */
let booted;

/** How long `/stop` waits for a run to begin, in milliseconds. */
const BEGIN_TIME = 500;

/**
 * The last run that was asked for: `begun` resolves when it has begun or was cancelled.
 * @type {{ begun: Promise<void>, stopped: boolean } | undefined}
 */
let starting;

/** @param {Request} request */
async function serve(request) {
  const { pathname } = new URL(request.url);
  if (request.method === 'GET') return new Response(packFiles((await booted)?.pyodide.FS));
  if (pathname === '/stop') {
    // A run that has not begun cannot be stopped, and would go on unseen: it begins first, or never.
    if (starting) {
      await Promise.race([starting.begun, new Promise((resolve) => setTimeout(resolve, BEGIN_TIME))]);
      starting.stopped = true;
    }
    const alive = (await (await booted)?.stop()) ?? true;
    return new Response(null, { status: alive ? 204 : 410 });
  }
  if (pathname === '/answer') {
    const answer = await request.text();
    (await booted)?.answer(answer);
    return new Response(null, { status: 204 });
  }
  if (pathname === '/run' && booted) return run(await booted, await request.json());
  const sent = await Envelope.open(request.body);
  if (pathname === '/snapshot') return takeSnapshot(sent);
  booted ??= boot(sent);
  const interpreter = await booted;
  switch (pathname) {
    case '/boot': // ahead of the first run
      break;
    case '/files': // the files of its session, from the interpreter before
      unpackFiles(interpreter.pyodide.FS, (await sent.part()) ?? new ArrayBuffer());
      break;
    case '/data': // files that every interpreter of its home can read
      mountData(interpreter.pyodide._module, (await sent.part()) ?? new ArrayBuffer());
      break;
    default:
      return run(interpreter, JSON.parse(sent.text));
  }
  return new Response(null, { status: 204 });
}

/** @param {Envelope} sent @param {boolean} takesSnapshot */
async function boot(sent, takesSnapshot = false) {
  const stdlib = (await sent.part()) ?? new ArrayBuffer();
  const mounted = [];
  for (const found of packages) mounted.push({ ...found, archive: await sent.part() });
  return Interpreter.boot({
    loadPyodide,
    createPyodideModule,
    lockFile,
    symbols,
    kdf: () => kdf,
    stdlib,
    packages: mounted,
    snapshot: sent.reader(),
    takesSnapshot,
  });
}

/** @param {Envelope} sent */
async function takeSnapshot(sent) {
  const draws = drawsCounted();
  const interpreter = await boot(sent, true);
  try {
    return new Response(await interpreter.snapshot(sent.text, draws));
  } catch (error) {
    if (error instanceof Drawing) return new Response(error.module, { status: 409 });
    throw error;
  }
}

/**
 * Starts a run once its response is being read, so that an isolate that did not respond has begun nothing.
 * @param {Interpreter} interpreter @param {import('./protocol.js').Request} request
 */
function run(interpreter, request) {
  const encoder = new TextEncoder();
  let wanted = true;
  let began = false;
  /** @type {PromiseWithResolvers<void>} */
  const { promise, resolve: over } = Promise.withResolvers();
  const own = { begun: promise, stopped: false };
  starting = own;
  // Whether the reader wants more, and the callback that waits for that.
  let hungry = false;
  let feed = () => {};
  const drained = async () => {
    if (!wanted || hungry) return;
    await new Promise((resolve) => {
      feed = () => resolve(undefined);
    });
  };
  const body = new ReadableStream({
    type: 'bytes',
    pull(controller) {
      hungry = true;
      feed();
      if (began) return;
      began = true;
      if (own.stopped) return controller.close();
      const send = (/** @type {string} */ frame) => {
        hungry = false;
        if (wanted) controller.enqueue(encoder.encode(`${frame}\n`));
      };
      interpreter
        .run(request, send, drained)
        // A lost interpreter leaves the stream open: the parent takes the run to go on, and asks `/stop` what became of it.
        .then((alive) => wanted && alive && controller.close())
        .catch((error) => controller.error(error));
      over();
    },
    async cancel() {
      wanted = false;
      feed();
      over();
      await interpreter.stop();
    },
  });
  return new Response(body);
}

/** One run in an isolate of its own. */
export default { fetch: serve };

/** The interpreter of a session, which lives as long as its Durable Object facet. */
export class Python extends DurableObject {
  /** @param {Request} request */
  fetch(request) {
    return serve(request);
  }
}
