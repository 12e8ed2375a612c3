// What the command says: to stderr, for people, or as JSON for machines. stdout is the protocol's.

/** @typedef {'debug' | 'info' | 'warning' | 'error'} Level */

export class Log {
  #json;
  #verbose;

  /** @param {{ verbose?: boolean, format?: 'text' | 'json' }} [options] */
  constructor({ verbose = false, format = 'text' } = {}) {
    this.#verbose = verbose;
    this.#json = format === 'json';
  }

  /** @param {string} text */
  debug(text) {
    if (this.#verbose) this.#write('debug', text);
  }

  /** @param {string} text */
  info(text) {
    this.#write('info', text);
  }

  /** @param {string} text */
  warning(text) {
    this.#write('warning', text);
  }

  /** @param {string} text */
  error(text) {
    this.#write('error', text);
  }

  /** @param {Level} level @param {string} text */
  #write(level, text) {
    const shown = level === 'info' ? text : `${level}: ${text}`;
    const line = this.#json ? JSON.stringify({ time: new Date().toISOString(), level, message: text }) : shown;
    process.stderr.write(`${line}\n`);
  }
}

/** Says nothing: for library use. */
export class Silence extends Log {
  debug() {}
  info() {}
  warning() {}
  error() {}
}
