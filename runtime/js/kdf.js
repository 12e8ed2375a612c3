// Derives keys from passwords for Python's `hashlib`, by `runtime/kdf`, which is compiled and instantiated at first use.
//
// **Boundary.** It belongs to the program, which may call it with anything. It has a memory of its own, which counts as the
// interpreter's, so that honest code gets a `MemoryError`.

/** The most memory that a derivation takes beyond what is counted, in bytes. */
const MORE = 1 << 18;

/** The fuel that a step costs: about as much as bytecode uses in that time, a millisecond. */
const FUEL = 1000;

/** @typedef {Record<'place' | 'pbkdf2' | 'scrypt' | 'step', (...numbers: number[]) => number> & { memory: WebAssembly.Memory }} Exports */
/** @typedef {Generator<Uint8Array | undefined, void>} Steps undefined until the last, which is the key */

export class KeyDerivation {
  #compile;
  #room;
  #spend;
  /** @type {WebAssembly.Module | undefined} */
  #module;
  /** @type {Exports[]} */
  #instances = [];
  /** Free instances: several, as a signal's handler may begin a derivation during another. @type {Exports[]} */
  #idle = [];

  /**
   * @param {() => WebAssembly.Module} compile
   * @param {() => number} room how many more bytes of memory there may be
   * @param {(fuel: number) => void} spend called after each step
   */
  constructor(compile, room, spend) {
    this.#compile = compile;
    this.#room = room;
    this.#spend = spend;
  }

  /** Bytes of its memory, which it keeps for the next time. */
  get bytes() {
    return this.#instances.reduce((sum, { memory }) => sum + memory.buffer.byteLength, 0);
  }

  /**
   * @param {number} digest bits of the hash @param {Uint8Array} password @param {Uint8Array} salt
   * @param {number} iterations @param {number} length of the key @returns {Steps} without a key where there is no memory
   */
  pbkdf2(digest, password, salt, iterations, length) {
    return this.#derive(password, salt, length, 0, ({ pbkdf2 }) => pbkdf2(digest, password.length, iterations, length));
  }

  /**
   * @param {Uint8Array} password @param {Uint8Array} salt @param {number} n @param {number} r @param {number} p
   * @param {number} length of the key @returns {Steps} as above
   */
  scrypt(password, salt, n, r, p, length) {
    return this.#derive(password, salt, length, 128 * r * (n + p + 2), ({ scrypt }) =>
      scrypt(password.length, n, r, p, length),
    );
  }

  /**
   * @param {Uint8Array} password @param {Uint8Array} salt @param {number} length
   * @param {number} memory that is needed besides @param {(instance: Exports) => number} begin
   * @returns {Steps}
   */
  *#derive(password, salt, length, memory, begin) {
    const needed = memory + password.length + salt.length + length + MORE;
    const idle = this.#idle.pop();
    if (needed - (idle?.memory.buffer.byteLength ?? 0) > this.#room()) {
      if (idle) this.#idle.push(idle);
      return;
    }
    const instance = idle ?? this.#instantiate();
    try {
      const place = instance.place(password.length + salt.length);
      if (!place) return;
      const given = new Uint8Array(instance.memory.buffer, place);
      given.set(password);
      given.set(salt, password.length);
      if (!begin(instance)) return;
      for (let key = 0; !key; ) {
        key = instance.step();
        this.#spend(FUEL);
        yield key ? new Uint8Array(instance.memory.buffer, key, length).slice() : undefined;
      }
    } finally {
      this.#idle.push(instance);
    }
  }

  #instantiate() {
    this.#module ??= this.#compile();
    const instance = /** @type {any} */ (new WebAssembly.Instance(this.#module).exports);
    this.#instances.push(instance);
    return instance;
  }
}
