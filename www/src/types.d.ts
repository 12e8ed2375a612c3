/** What a home implements: where Python runs. */
export interface SandboxHost {
  /**
   * Starts one run, and resolves when it has begun. `request` is JSON for `src/runtime/boot.js`; the stream yields what
   * the isolate writes, as it comes. Cancelling the stream ends the run, also after its result: it resolves once the
   * interpreter is ready for its next run, or gone. An error of the stream is told to the client.
   *
   * Without `session` the run gets an interpreter of its own, which ends with it.
   */
  start(request: string, session: string | undefined, packages: PreparedPackage[]): Promise<ReadableStream<Uint8Array>>;
  /** Starts an interpreter that is kept, for the client with this number. Without this method there are no sessions, and every run stands for itself. */
  openSession?(owner: number): Promise<string>;
  /** Whether such an interpreter is still there. */
  hasSession?(session: string): Promise<boolean>;
  /** Ends it. */
  endSession?(session: string): Promise<void>;
  /** Gives the files of one to another, which has not run yet. Whether it did. */
  carryFiles?(from: string, to: string): Promise<boolean>;
  /** Whether `start` takes more packages than a session's interpreter has had. If not, it gets a new interpreter. */
  addsPackages?: boolean;
  /**
   * What an interpreter has room for, in bytes: libraries, and the `heap` that it starts with. Without it, as in a page,
   * there may be any libraries.
   */
  room?: { code: number; heap: number };
  /** The text of `pyodide-lock.json`. With it, and `fetch`, code gets the packages that it imports. */
  lockFile?: string;
  /**
   * Fetches a file of a package, of at most `maxBytes`, within `milliseconds`. It rejects with a member `status` if the
   * answer is not 200, with a `RangeError` if it is too large, and with a `TimeoutError`.
   */
  fetch?(url: string, limits: { accept?: string; maxBytes: number; milliseconds: number }): Promise<Uint8Array>;
  /** A wheel that was cached, by its sha256; it is checked by whoever gets it. */
  cached?(sha256: string): Promise<Uint8Array | undefined>;
  /** Caches a wheel, as far as the home likes. */
  cache?(sha256: string, wheel: Uint8Array): Promise<void>;
}

/** A wheel, ready to be mounted. */
export interface PreparedPackage {
  name: string;
  version: string;
  /** Of the wheel as it was fetched, in hexadecimal digits. */
  sha256: string;
  /** All files but the native modules, see `docs/architecture.md`. */
  archive: ArrayBuffer;
  /** Native modules by their paths, relative to site-packages. */
  modules: [string, Uint8Array][];
}

/** The settings of README's table, in camel case, for example `timeLimitSeconds`. */
export type CoreOptions = Record<string, string | number | boolean | string[] | undefined>;

/** How a run ended: what MCP's structured content says, and the figures. */
export interface EvalResult {
  status: 'success' | 'run-error' | 'install-error';
  /** Lines of stdout and stderr, in order. */
  output: string[];
  /** The value of the last expression, if the run succeeded. */
  return_value?: unknown;
  /** Traceback or message, if it did not. */
  error?: string;
  /** The handle of the session, if one was asked for. */
  session?: string;
  images: { mimeType: string; data: string }[];
}

export interface EvalOptions {
  /** `'new'`, or the handle of a session. Without it, files and modules stay, and variables do not. */
  session?: string;
  /** Ends the run. */
  signal?: AbortSignal;
  /** Called with each line of output as it comes. */
  onOutput?: (stream: 'stdout' | 'stderr', line: string) => void;
  /** Called with what is told while packages are installed. */
  onInstall?: (message: string) => void;
}
