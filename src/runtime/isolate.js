// The main module of an isolate in workerd: how a run gets in and its frames get out.
//
// **Boundary.** Everything in this isolate belongs to the Python code that runs in it, this file included once the
// code has become JavaScript. Nothing here protects anybody else; the parent does (no network, no bindings, one
// isolate for one run or one session, and every byte that leaves is decoded as an attacker's).
import './shim.js';
import { DurableObject } from 'cloudflare:workers';
import { Interpreter } from './boot.js';
import { packFiles, unpackFiles } from './files.js';
import packages from './packages/index.js';
import createPyodideModule from './pyodide.asm.mjs';
import { loadPyodide } from './pyodide.mjs';
import lockFile from './pyodide-lock.txt';
import snapshot from './snapshot.bin';

/** @type {Promise<Interpreter> | undefined} */
let booted;

/** @param {Request} request */
async function serve(request) {
  const { pathname } = new URL(request.url);
  if (pathname === '/stop') {
    const alive = (await (await booted)?.stop()) ?? true;
    return new Response(null, { status: alive ? 204 : 410 });
  }
  booted ??= Interpreter.boot({ loadPyodide, createPyodideModule, lockFile, snapshot, packages });
  const interpreter = await booted;
  // Ahead of its first run.
  if (pathname === '/boot') return new Response(null, { status: 204 });
  if (pathname !== '/files') return run(interpreter, await request.json());
  // What a session's files are, or what they were in the interpreter before.
  const { FS } = interpreter.pyodide;
  if (request.method === 'GET') return new Response(packFiles(FS));
  unpackFiles(FS, await request.arrayBuffer());
  return new Response(null, { status: 204 });
}

/** @param {Interpreter} interpreter @param {import('./boot.js').Run} request */
function run(interpreter, request) {
  const encoder = new TextEncoder();
  let wanted = true;
  const body = new ReadableStream({
    type: 'bytes',
    start(controller) {
      interpreter
        .run(request, (frame) => wanted && controller.enqueue(encoder.encode(`${frame}\n`)))
        // Without its end the parent takes a run for one that goes on, and asks `/stop` what became of it.
        .then((alive) => wanted && alive && controller.close())
        .catch((error) => controller.error(error));
    },
    async cancel() {
      wanted = false;
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
