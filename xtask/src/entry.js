// The Worker's entry. After a panic its wasm is of no more use, and the next call into it begins with a new
// instance: the bindings see to that.
import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers';
import * as wasm from './bindings.js';

export default class extends WorkerEntrypoint {
  /** @param {Request} request */
  fetch(request) {
    return wasm.fetch(request, this.env, this.ctx);
  }
}

export class Session extends DurableObject {
  #instance = 0;
  /** @type {any} */
  #session;

  /** The session's object in wasm; one of an instance that is no more is made anew, from what is stored. */
  #current() {
    const { instanceId } = wasm.__worker_init_state();
    if (this.#instance !== instanceId) {
      this.#instance = instanceId;
      this.#session = new wasm.Session(this.ctx, this.env);
    }
    return this.#session;
  }

  /** @param {Request} request */
  fetch(request) {
    return this.#current().fetch(request);
  }

  alarm() {
    return this.#current().alarm();
  }
}
