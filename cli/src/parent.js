// The worker in a workerd process of the desk: starts isolates, each with one interpreter, and carries runs in and
// frames out. It looks at neither.
//
// An interpreter is a Durable Object whose facet is of a class from an isolate of its own; its name is whatever the
// supervisor calls it. POST /NAME/boot, /NAME/run (the JSON of a run: its frames), /NAME/stop and /NAME/end.
import { DurableObject } from 'cloudflare:workers';
import { envelopeStream } from './envelope.js';
import { modules, parts } from './modules.js';

const FACET = 'python';

/** **Boundary.** Nothing is reachable from an isolate: no network (left out, it would inherit ours), no bindings. */
const code = {
  compatibilityDate: '2026-06-01',
  mainModule: 'isolate.js',
  modules,
  globalOutbound: null,
  env: {},
};

export class Interpreter extends DurableObject {
  /** What the isolate's first request brings along. @type {ArrayBuffer[]} */
  #parts = parts;

  /** @param {Request} request */
  async fetch(request) {
    const action = new URL(request.url).pathname.split('/').at(-1);
    if (action === 'end') {
      this.ctx.facets.delete(FACET);
      // The object itself is of no more use, and nothing else would end it.
      this.ctx.abort('ended');
      return new Response(null, { status: 204 });
    }
    const facet = this.ctx.facets.get(FACET, () => ({
      class: this.env.LOADER.load(code).getDurableObjectClass('Python'),
    }));
    const url = `http://sandbox/${action}`;
    if (action === 'stop') return facet.fetch(url, { method: 'POST' });
    const body = envelopeStream(await request.text(), this.#parts);
    this.#parts = [];
    return facet.fetch(url, { method: 'POST', body });
  }
}

export default {
  /** @param {Request} request @param {any} env */
  async fetch(request, env) {
    if (request.headers.get('authorization') !== env.SECRET) return new Response(null, { status: 403 });
    const [, name, action] = new URL(request.url).pathname.split('/');
    // Whether this process still answers.
    if (!action) return new Response(null, { status: 204 });
    return env.INTERPRETERS.getByName(name).fetch(request);
  },
};
