// The pulse of a run: every few bytecodes CPython polls for signals, and the host can act.
//
// **Boundary.** Python code that changes its signal handlers harms only itself: a run that outlives its time and its
// grace is never resumed (or, where it cannot be suspended, ended by an exception that no Python code can catch).
import { POLL_WASM } from './poll_wasm.js';
import { endTurn, hostTimer, outsideOfTurns, turn } from './turn.js';

/** How long a run keeps the thread before others get a turn, in milliseconds. */
const YIELD_EVERY = 20;

/** The same while others have work to do: each of their steps waits for one such turn. */
const YIELD_SOON = 3;

/** How long others are taken to have work to do after the last sign of it, in milliseconds. */
const CROWDED_FOR = 100;

/** A turn of the event loop that takes longer than this, in milliseconds, counts as work of others. */
const QUIET = 2;

/** The longest that others may work before a run goes on, in milliseconds; see `#share`. */
const OTHERS_SHARE = 100;

/** `YIELD_EVERY` in polls, for clocks that stand still while code runs: about 20 ms of bytecode at the fastest. */
const YIELD_POLLS = 20_000;

/** The poll's answer for "suspend me first". */
const TURN = -1;

/** Polls for each millisecond of Python's grace, where the clock stands still. */
const GRACE_FUEL = 1000;

/** Python's signal numbers: SIGINT raises KeyboardInterrupt; for the others the runner raises TimeoutError. */
const SIGINT = 2;
const SIGALRM = 14;
const SIGXCPU = 24;

/** The end of a run that was stopped while none of its program was running. */
const STOPPED = JSON.stringify({ end: { status: 'run-error', error: 'KeyboardInterrupt\n' } });

/** How long a run that waits may take to notice a stop before its waits are ended, in milliseconds. */
const CANCEL_AFTER = 50;

/** @typedef {import('./protocol.js').Limits} Limits */
/** How a run ended: the runner's frames, or why the interpreter is lost. @typedef {{ frames: string, lost?: undefined } | { lost: string }} Ended */

export class Pulse {
  /** @type {any} Emscripten's module */
  #module;
  /** Called before each turn, to send what has been written. */
  onTurn = () => {};
  /** The calls of the run, if it may make any. @type {import('./calls.js').Calls | null} */
  calls = null;
  /** Whether the run is to stop; asked where it cannot be suspended, as no message arrives then. */
  stopWanted = () => false;
  /** @type {null | { end: (ended: Ended) => void, deadline: number, limits: Pick<Limits, 'time' | 'grace' | 'fuel'>, cancel: (signal: number) => boolean }} */
  #run = null;
  #signal = 0;
  /** Callbacks that end the waits of suspended stacks, see `waitFor`. @type {Set<() => void>} */
  #waits = new Set();
  /** Whether the poll has asked for a turn that has not begun. */
  #asked = false;
  /** Puts a suspended run back on its stack. */
  #resume = () => {};
  /** The current turn; `turned` stays false where the run cannot be suspended. */
  #current = { turned: false };
  /** When the grace of an interrupted run is over: its end can no longer be caught then. */
  #last = Infinity;
  #reason = '';
  /** The signal that ends the run. */
  #ending = 0;
  /** Whether a stack is suspended for a turn. */
  #suspended = false;
  #turnedAt = 0;
  #crowdedAt = 0;
  #slice = YIELD_EVERY;
  /** Polls since the last turn. */
  #polls = 0;
  /** How many polls there may be before the next turn. */
  #pollsAllowed = 0;
  /** What was left of the run's fuel at the last turn. */
  #fuel = 0;

  /**
   * The function that CPython calls to poll for signals: it returns the number of one, or 0.
   * @returns {() => number}
   */
  get pollSignals() {
    const turn =
      'Suspending' in WebAssembly
        ? // @ts-expect-error: not in TypeScript's library yet
          new WebAssembly.Suspending(() => this.#turn())
        : () => 0; // a browser without JSPI: never called, for nothing can suspend
    const imports = { poll: () => this.#poll(), turn, back: () => this.#back() };
    // @ts-expect-error: an export is a function
    return new WebAssembly.Instance(new WebAssembly.Module(POLL_WASM), { e: imports }).exports.poll;
  }

  /** @param {any} module */
  attach(module) {
    this.#module = module;
  }

  #poll() {
    if (!this.#run) return 0;
    if (++this.#polls < this.#pollsAllowed && Date.now() - this.#turnedAt < this.#slice) return this.#take();
    // During the turn of one stack another may go on, as its promise was resolved: only one turn at a time.
    if (this.#suspended || !this.#module.canSuspend()) return this.#stay();
    this.#asked = true;
    return TURN;
  }

  /**
   * Waits for a stack that is suspended in `run_sync` or `time.sleep`: until its promise settles or the run is to end.
   * In that case the stack goes on without a result, and its first bytecode sees the signal.
   * @param {unknown} promise
   */
  async waitFor(promise) {
    let signal = 0;
    const { promise: ended, resolve } = Promise.withResolvers();
    const end = () => {
      signal = this.#ending;
      resolve(undefined);
    };
    this.#waits.add(end);
    try {
      return await Promise.race([promise, ended]);
    } finally {
      this.#waits.delete(end);
      // During a turn, the other stack is in the middle of a statement.
      await outsideOfTurns();
      if (signal) this.#raise(signal);
    }
  }

  /** Goes on without a turn: a JavaScript frame, which cannot be suspended, called Python. */
  #stay() {
    this.onTurn();
    if (this.stopWanted()) this.stop();
    this.#turned();
    if (this.#check()) return this.#take();
    throw new Error(this.#reason);
  }

  /**
   * Suspends the run for a turn of the event loop, or for several while others have work to do; never resumes it
   * when its time is over.
   */
  #turn() {
    this.#asked = false;
    this.onTurn();
    this.#suspended = true;
    this.#resume = this.#module.suspend();
    const start = Date.now();
    const share = this.#share();
    let last = start;
    const current = { turned: false };
    this.#current = current;
    return new Promise((resume) => {
      const turned = () => {
        if (this.#current !== current || !this.#check()) return;
        current.turned = true;
        const now = Date.now();
        if (now - last > QUIET) this.#crowdedAt = now;
        if (this.#crowdedAt !== now || now - start >= share) return resume(0);
        last = now;
        turn(turned);
      };
      turn(turned);
    });
  }

  /** The longest to yield: at most 25 % of the elapsed time, so that short runs do not wait for the loops of others. */
  #share() {
    if (!this.#run) return 0;
    const { deadline, limits } = this.#run;
    return Math.min(OTHERS_SHARE, (Date.now() - (deadline - limits.time)) / 4);
  }

  /** Called on the run's own stack when it goes on. */
  #back() {
    if (this.#asked) {
      // The engine did not even call `#turn`: `#resume` is that of an earlier turn, of a stack that may be gone.
      this.#asked = false;
      return this.#stay();
    }
    this.#suspended = false;
    endTurn();
    this.#resume();
    const { turned } = this.#current;
    this.#current = { turned: false };
    if (!turned) return this.#stay();
    this.#turned();
    return this.#take();
  }

  /**
   * Starts a run and watches over it.
   * @param {Pick<Limits, 'time' | 'grace' | 'fuel'>} limits
   * @param {number} wait how long its clock may stand still while it waits for answers, in milliseconds
   * @param {{ cancel: (signal: number) => boolean }} runner
   * @param {() => Promise<string>} start
   * @returns {Promise<Ended>}
   */
  watch(limits, wait, runner, start) {
    return new Promise((resolve) => {
      let tickedAt = Date.now();
      let fuel = limits.fuel;
      let waitLeft = wait;
      const tick = () => {
        if (this.#run !== run) return;
        this.onTurn();
        const now = Date.now();
        const left = this.#fuel - this.#polls;
        // A run that only waits for answers does not use up its time.
        if (this.calls?.waiting && left === fuel && !this.#suspended) {
          const pause = Math.min(now - tickedAt, waitLeft);
          waitLeft -= pause;
          run.deadline += pause;
        }
        tickedAt = now;
        fuel = left;
        if (this.#check()) run.timer = hostTimer.set(tick, YIELD_EVERY);
      };
      const run = {
        deadline: Date.now() + limits.time,
        limits,
        cancel: (/** @type {number} */ signal) => runner.cancel(signal),
        /** @type {any} */
        timer: undefined,
        /** @param {Ended} ended */
        end: (ended) => {
          if (this.#run !== run) return;
          this.#run = null;
          hostTimer.clear(run.timer);
          resolve(ended);
        },
      };
      this.#run = run;
      this.#module.HEAP8[this.#module._Py_EMSCRIPTEN_SIGNAL_HANDLING] = 1; // or CPython never asks
      this.#signal = 0;
      this.#ending = 0;
      this.#last = Infinity;
      this.#polls = 0;
      this.#fuel = limits.fuel;
      this.#turned();
      run.timer = hostTimer.set(tick, YIELD_EVERY);
      // A result may be there while the stack that gave it is suspended: it has to end before the next run begins.
      const over = (/** @type {string} */ frames) => {
        if (this.#suspended) hostTimer.set(() => over(frames), 0);
        else run.end({ frames });
      };
      start().then(over, (error) => {
        // It was stopped before its program began or after that ended: the interpreter is intact.
        if (this.#ending === SIGINT && error?.type === 'KeyboardInterrupt') over(STOPPED);
        else run.end({ lost: `the interpreter failed: ${error?.message ?? error}` });
      });
    });
  }

  /** Called when the interpreter is gone: `os._exit`, an abort or a trap. @param {Error} error Pyodide's */
  fatal(error) {
    this.onTurn();
    this.#run?.end({ lost: `the program ended the interpreter: ${error.message}` });
  }

  /** Charges fuel for work that was not bytecode; the next bytecode polls for signals. @param {number} fuel */
  spend(fuel) {
    this.#polls += fuel;
    this.#ask();
  }

  /** Asks the run to stop. */
  stop() {
    if (this.#run && this.#last === Infinity) this.#interrupt(SIGINT, 'stopped');
  }

  #turned() {
    this.#fuel -= this.#polls;
    this.#polls = 0;
    this.#pollsAllowed = Math.min(YIELD_POLLS, this.#fuel);
    this.#turnedAt = Date.now();
    this.#slice = this.#turnedAt - this.#crowdedAt < CROWDED_FOR ? YIELD_SOON : YIELD_EVERY;
  }

  #take() {
    const signal = this.#signal;
    this.#signal = 0;
    return signal;
  }

  /** Looks at the clock and the fuel. False: the run has been ended and must not go on. */
  #check() {
    const run = this.#run;
    if (!run) return false;
    const now = Date.now();
    const empty = this.#fuel <= this.#polls;
    if (this.#last !== Infinity) {
      if (now < this.#last && !empty) return true;
      run.end({ lost: this.#reason });
      return false;
    }
    const { time, fuel } = run.limits;
    const ignored = 'and did not end when it was told to';
    if (now >= run.deadline) {
      this.#interrupt(SIGALRM, `TimeoutError: the run took longer than ${time / 1000} s ${ignored}`);
    } else if (empty) {
      this.#interrupt(SIGXCPU, `TimeoutError: the run used more than its fuel of ${fuel} ${ignored}`);
    }
    return true;
  }

  /** @param {number} signal @param {string} reason */
  #interrupt(signal, reason) {
    const run = this.#run;
    if (!run) return;
    this.#signal = signal;
    this.#ending = signal;
    this.#reason = reason;
    this.#last = Date.now() + run.limits.grace;
    this.#fuel = this.#polls + run.limits.grace * GRACE_FUEL;
    // Waits that begin from now on are part of the cleanup, and are left alone.
    const waits = [...this.#waits];
    const wake = () => {
      if (this.#run !== run) return;
      // It sees the signal when its turn is over.
      if (this.#signal && this.#suspended) return void hostTimer.set(wake, YIELD_EVERY);
      this.calls?.stop();
      // If no bytecode has seen the signal, the run waits for something, in an `await` or on a stack. Other tasks' stacks
      // may wait, too: each gets a signal, in a task of the event loop of its own.
      const unseen = this.#signal !== 0;
      if (unseen && this.#cancel(run)) this.#signal = 0;
      // In that case nothing has cleaned up yet: waits that began meanwhile are the program's, too.
      for (const end of unseen ? [...this.#waits] : waits) if (this.#waits.has(end)) hostTimer.set(end, 0);
    };
    hostTimer.set(wake, CANCEL_AFTER);
  }

  /** Cancels what a run awaits, if it awaits anything. @param {{ cancel: (signal: number) => boolean }} run */
  #cancel(run) {
    const signal = this.#signal;
    // The bytecodes of `cancel` itself must not see the signal.
    this.#signal = 0;
    try {
      return run.cancel(signal);
    } catch {
      return false; // the program's own awaitable refused to be cancelled
    } finally {
      this.#signal = signal;
    }
  }

  /** Makes the next bytecode see this signal. @param {number} signal */
  #raise(signal) {
    this.#signal = signal;
    this.#ask();
  }

  /** Makes the next bytecode poll for signals. */
  #ask() {
    this.#module.HEAP32[this.#module.__Py_emscripten_signal_clock >> 2] = 0;
  }
}
