// The Worker's entry. After a panic, its wasm instance is unusable: the bindings begin the next call with a new
// instance.
import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers';
import * as wasm from './bindings.js';

export default class extends WorkerEntrypoint {
  /** @param {Request} request */
  fetch(request) {
    return wasm.fetch(request, this.env, this.ctx);
  }
}

/** A Durable Object whose class is in wasm. @param {(ctx: any, env: any) => any} make */
const inWasm = (make) =>
  class extends DurableObject {
    #instance = 0;
    /** @type {any} */
    #object;

    /** The object in wasm. With a new instance, it is made anew, from what is stored. */
    #current() {
      const { instanceId } = wasm.__worker_init_state();
      if (this.#instance !== instanceId) {
        this.#instance = instanceId;
        this.#object = make(this.ctx, this.env);
      }
      return this.#object;
    }

    /** @param {Request} request */
    fetch(request) {
      return this.#current().fetch(request);
    }

    alarm() {
      return this.#current().alarm();
    }
  };

export class Session extends inWasm((ctx, env) => new wasm.Session(ctx, env)) {}

export class Quota extends inWasm((ctx, env) => new wasm.Quota(ctx, env)) {}

export class Spare extends inWasm((ctx, env) => new wasm.Spare(ctx, env)) {}

export class KeptFiles extends inWasm((ctx, env) => new wasm.KeptFiles(ctx, env)) {}
