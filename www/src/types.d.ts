/** Implemented by a home: where Python runs. */
export interface SandboxHost {
  /**
   * Returns an interpreter at once: it boots on its own, or with its first run, which fails if the boot does. `kept`: it is
   * for more than one run.
   */
  spawn(packages: PreparedPackage[], kept: boolean): HostInterpreter;
  /** Whether it keeps interpreters. If not, there are no sessions, and every run stands for itself. */
  keepsInterpreters?: boolean;
  /** Whether an interpreter that has run takes further packages. If not, its session gets a new one. */
  addsPackages?: boolean;
  /** Whether packages are compiled to bytecode, in separate interpreters, after their first run: for homes that have a cache. */
  compilesPackages?: boolean;
  /** How many interpreters it has room for; without it, any number. */
  places?: number;
  /** How many of them one client's sessions may have. */
  placesEach?: number;
  /**
   * The room of an interpreter in bytes: for the code of libraries, and the `heap` that it starts with. Without it, as in a
   * page, there may be any libraries.
   */
  room?: { code: number; heap: number };
  /** The text of `pyodide-lock.json`. With it, and `fetch`, code gets the packages that it imports. */
  lockFile?: string;
  /**
   * Fetches a file of a package, of at most `maxBytes`, within `milliseconds`. It rejects with a member `status` if the
   * answer is not 200, with a `RangeError` if it is too large, and with a `TimeoutError`.
   */
  fetch?(url: string, limits: { accept?: string; maxBytes: number; milliseconds: number }): Promise<Uint8Array>;
  /** A wheel, or its bytecode, from the cache, by its sha256; the caller checks it. */
  cached?(sha256: string): Promise<Uint8Array | undefined>;
  /** Caches a wheel, or its bytecode, if the home likes. */
  cache?(sha256: string, wheel: Uint8Array): Promise<void>;
  /** SHA-256 by the platform, which is quicker than the core's; it may reject. */
  digest?(bytes: Uint8Array): Promise<ArrayBuffer>;
  /**
   * Tells that these wheels, by their sha256, are about to be fetched for an interpreter, in the order in which it gets them.
   * `modules`: what a snapshot with them has imported.
   */
  expect?(wheels: string[], modules: string[]): void;
  /** A package is ready while others of its set are still missing: its native modules can be compiled meanwhile. */
  compileModules?(prepared: PreparedPackage): void;
}

/** An interpreter. It gets one run at a time. */
export interface HostInterpreter {
  /**
   * Starts a run, and resolves when it has begun; rejects if it did not begin and will not: then it may be started
   * elsewhere. `request` is JSON, see `docs/protocol.md`; the stream yields what the isolate writes, as it comes. Its end
   * says that the interpreter is ready for its next run, or gone; cancelling it ends the run, and resolves then. An error
   * of the stream is told to the client.
   */
  run(request: string): Promise<ReadableStream<Uint8Array>>;
  /** Passes the answer to a call of the current run into the isolate: JSON. */
  answer?(answer: string): void;
  /** Whether it may still take runs. */
  readonly alive: boolean;
  /** Ends it, whatever it does: a run that has not begun is rejected. */
  end(): void;
  /** Gives it all packages that its next run is to have: those it was spawned with, and more. */
  add?(packages: PreparedPackage[]): void;
  /** The files of its session, packed; `undefined` if it does not give them. */
  files?(): Promise<object | undefined>;
  /** Takes the files of the session's previous interpreter, before its first run. */
  putFiles?(files: object): void;
}

/** A wheel, ready to be mounted; or its bytecode, which has no name. */
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

/** The settings of docs/settings.md, in camel case, for example `timeLimitSeconds`. */
export type CoreOptions = Record<string, string | number | boolean | string[] | undefined>;

/** How a run ended: MCP's structured content, and the figures. */
export interface EvalResult {
  status: 'success' | 'run-error' | 'install-error';
  /** Lines of stdout and stderr, in order. */
  output: string[];
  /** The value of the last expression, if the run succeeded. Integers that no `number` holds exactly are a `bigint`. */
  return_value?: unknown;
  /** Traceback or message, if it did not succeed. */
  error?: string;
  /** What the run displayed: texts and JSON by their MIME types. */
  display?: Record<string, string | object>[];
  /** How many texts of it were left out. */
  display_omitted?: number;
  /** What the run did to files in its working directory. */
  files?: EvalFile[];
  /** How many more files there are. */
  files_omitted?: number;
  /** The handle of the session, if one was asked for. */
  session?: string;
  images: { mimeType: string; data: string }[];
}

/** A file, as in MCP's structured content, with its content as text or base64, unless it is too large. */
export interface EvalFile {
  path: string;
  change: 'created' | 'changed' | 'deleted';
  size?: number;
  media_type?: string;
  content?: string;
  base64?: string;
  /** The address for {@link Core.read}, if the content is not here. */
  uri?: string;
}

export interface EvalOptions {
  /** Files to place in the working directory first, like the tool's argument `files`. */
  files?: Record<string, string | { base64: string }>;
  /** `'exact'`: every integer is a `bigint`, and every `number` was a float. */
  numbers?: 'exact';
  /** `'new'`, or the handle of a session. Without it, files and modules stay, and variables do not. */
  session?: string;
  /** Ends the run. */
  signal?: AbortSignal;
  /** Called with each line of output as it comes. */
  onOutput?: (stream: 'stdout' | 'stderr', line: string) => void;
  /**
   * Asks a person for a line, while the program waits; `null`: there are no more. Without it, or where nothing can be
   * suspended, a program reads what its home gives it. The signal aborts when nobody waits for the answer any longer. The
   * prompt was chosen by the program.
   */
  onInput?: (prompt: string, signal: AbortSignal) => Promise<string | null>;
  /** Called with messages about the installation of packages. */
  onInstall?: (message: string) => void;
}
