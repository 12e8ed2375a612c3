// The workerd processes, and which of them gets what.
//
// All isolates of a process share its thread, and a loop in C blocks them all until the process is ended. So whoever
// can, gets a process without sessions: sessions are spread first, runs that stand for themselves go where none is. One
// process that nobody uses is kept ready as long as there may be more, with an interpreter booted in it.
import { Interpreter } from './interpreter.js';
import { Workerd } from './workerd.js';

/** How often it is looked whether a process in use still answers, in milliseconds. */
const PULSE = 500;

/** After how long a second process that nobody uses is ended, in milliseconds. */
const IDLE_LIMIT = 60_000;

/** @typedef {import('../core/core.js').PreparedPackage} PreparedPackage */

class Member {
  sessions = 0;
  runs = 0;
  blocked = false;
  started = false;
  idleSince = Date.now();
  /** Booted for whoever comes next. @type {Interpreter | null} */
  spare = null;

  /** @param {Workerd} workerd */
  constructor(workerd) {
    this.workerd = workerd;
    this.refill();
  }

  get used() {
    return this.sessions + this.runs > 0;
  }

  /** Boots an interpreter for whoever comes next, unless runs would have to wait for it. */
  refill() {
    if (this.workerd.ended === null && this.runs === 0) this.spare ??= new Interpreter(this.workerd);
  }

  /** @param {PreparedPackage[]} packages @returns {Interpreter} */
  take(packages) {
    if (packages.length) return new Interpreter(this.workerd, packages);
    const taken = this.spare ?? new Interpreter(this.workerd);
    this.spare = null;
    return taken;
  }
}

export class Pool {
  /** @type {Set<Member>} */
  #members = new Set();
  #closed = false;
  #max;
  #memory;
  #log;
  #timer;

  /** @param {{ processes: number, memory: number, log: import('./log.js').Log }} options `memory`: bytes a process */
  constructor({ processes, memory, log }) {
    this.#max = processes;
    this.#memory = memory;
    this.#log = log;
    this.#timer = setInterval(() => this.#watch(), PULSE);
    this.#timer.unref();
  }

  /** Starts the first process. Resolves when it could run Python at once. */
  async warm() {
    const member = this.#spareMember() ?? this.#add();
    await member.spare?.booted;
  }

  /**
   * Gives an interpreter, booted, and what to call when it is of no more use.
   * @param {boolean} kept whether it is a session's
   * @param {PreparedPackage[]} packages
   * @returns {Promise<{ interpreter: Interpreter, release: () => void }>}
   */
  async take(kept, packages) {
    for (let attempt = 0; ; attempt++) {
      const member = this.#choose(kept);
      const interpreter = member.take(packages);
      let held = true;
      if (kept) member.sessions++;
      else member.runs++;
      const release = () => {
        if (!held) return;
        held = false;
        if (kept) member.sessions--;
        else member.runs--;
        member.idleSince = Date.now();
        interpreter.end().then(() => member.refill());
      };
      try {
        await interpreter.booted;
        this.#grow();
        return { interpreter, release };
      } catch (error) {
        release();
        // Its process was ended for another's sake, once: elsewhere it may go well.
        if (attempt || this.#closed) throw error;
      }
    }
  }

  /** @param {boolean} kept @returns {Member} */
  #choose(kept) {
    if (this.#closed) throw new Error('the server is ending');
    const cost = (/** @type {Member} */ member) =>
      (member.blocked ? 10_000 : 0) + member.sessions * (kept ? 100 : 20) + member.runs * 10;
    const [best] = [...this.#members].sort((a, b) => cost(a) - cost(b));
    const wanted = !best || best.blocked || (kept && best.sessions > 0);
    return wanted && this.#mayGrow() ? this.#add() : (best ?? this.#add());
  }

  #mayGrow() {
    const blocked = [...this.#members].filter((member) => member.blocked).length;
    // Blocked ones will be replaced: meanwhile there may be others in their place.
    return this.#members.size - blocked < this.#max && this.#members.size < 2 * this.#max;
  }

  #spareMember() {
    return [...this.#members].find((member) => !member.used && !member.blocked);
  }

  /** Keeps one process ready that nobody uses. */
  #grow() {
    if (!this.#closed && !this.#spareMember() && this.#mayGrow()) this.#add();
  }

  #add() {
    const workerd = new Workerd({ memory: this.#memory, log: this.#log });
    const member = new Member(workerd);
    const started = performance.now();
    workerd.ready.then(
      () => {
        member.started = true;
        this.#log.debug(`a workerd process started in ${Math.round(performance.now() - started)} ms`);
      },
      (error) => this.#closed || this.#log.error(error.message),
    );
    workerd.onEnd = (why) => {
      if (!this.#members.delete(member) || this.#closed) return;
      this.#log.warning(`a workerd process ended: ${why}`);
      // One that never listened would only fail again: the next call tries, and is told why.
      workerd.ready.then(() => this.#grow()).catch(() => {});
    };
    this.#members.add(member);
    return member;
  }

  #watch() {
    const now = Date.now();
    const idle = [...this.#members].filter((member) => !member.used && !member.blocked);
    for (const member of idle.slice(1)) if (now - member.idleSince > IDLE_LIMIT) this.#retire(member);
    for (const member of this.#members) {
      if (member.started && (member.used || member.blocked)) {
        member.workerd.answers().then((answers) => {
          if (member.blocked !== answers) return;
          member.blocked = !answers;
          this.#log.debug(`a workerd process is ${answers ? 'free again' : 'blocked by a run'}`);
          this.#grow();
        });
      }
    }
  }

  /** @param {Member} member */
  #retire(member) {
    this.#members.delete(member);
    member.workerd.kill('nobody used it');
  }

  /** Ends all processes. Resolves when nothing is left of them. */
  async close() {
    this.#closed = true;
    clearInterval(this.#timer);
    const members = [...this.#members];
    this.#members.clear();
    for (const { workerd } of members) workerd.kill('the server is ending');
    await Promise.all(members.map(({ workerd }) => workerd.gone));
  }
}
