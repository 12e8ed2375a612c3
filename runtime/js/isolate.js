// The main module of an isolate in workerd: how a run gets in and its frames get out.
//
// A POST has an envelope (envelope.js) for its body. The parts of the first begin with the standard library, the
// packages' archives and the snapshot. `POST /run`: a run's JSON; without an envelope, if the isolate has got those parts
// before. `POST /boot`: only those parts. `GET /files` gives a
// session's files, `POST /files` takes them, as the last part; `POST /data` takes those that are only to be read. `POST /stop` has no body; that of `POST /answer` is the
// answer to a call of the run that goes on. `POST /snapshot`, instead of any of them, with those parts, too, gives a
// snapshot: its text is JSON of the modules that it has imported. 409 with the name of a module that it cannot have. docs/protocol.md has what runs and frames look like.
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

/** How long a run that is to be stopped may take to begin, in milliseconds. */
const BEGIN_TIME = 500;

/**
 * The last run whose answer is on its way: `begun` resolves when it has begun, or is not wanted any longer.
 * @type {{ begun: Promise<void>, stopped: boolean } | undefined}
 */
let starting;

/** @param {Request} request */
async function serve(request) {
  const { pathname } = new URL(request.url);
  if (request.method === 'GET') return new Response(packFiles((await booted)?.pyodide.FS));
  if (pathname === '/stop') {
    // What has not begun cannot be stopped, and would go on unseen: it begins first, or never.
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
    case '/files': // what its session has written in the interpreter before
      unpackFiles(interpreter.pyodide.FS, (await sent.part()) ?? new ArrayBuffer());
      break;
    case '/data': // what every interpreter of its home can read
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
 * Nothing runs before the answer is on its way: an isolate that did not answer has begun nothing.
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
  // Whether more is asked for than was given, and who waits for that.
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
        // Without its end the parent takes a run for one that goes on, and asks `/stop` what became of it.
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

/** The interpreter of a session: the same, as long as its Durable Object facet lives. */
export class Python extends DurableObject {
  /** @param {Request} request */
  fetch(request) {
    return serve(request);
  }
}
