// The library's interface: the same in a page and in Node, except where marked.

/** A value that JSON can carry. A `bigint` is an integer that no `number` holds exactly; see `numbers` for more. */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

/** A figure that a run has drawn, or an image that it has shown. */
export interface Image {
  /** For example `image/png`. */
  mimeType: string;
  /** Base64. */
  data: string;
}

/**
 * What a program displayed: texts and JSON by their MIME types, as Jupyter has them: `text/html`, `text/markdown`, `text/latex`,
 * `image/svg+xml`, `application/vnd.plotly.v1+json`, `application/vnd.vegalite.v5+json`. It may be hostile: HTML and SVG belong
 * into a frame with `sandbox=""` and a policy, never into a page.
 */
export type Bundle = { [type: string]: string | { [key: string]: Json } };

/** A file in the working directory that a run created, changed or deleted. */
export interface ChangedFile {
  /** Relative to the working directory. It was chosen by the program. */
  path: string;
  change: 'created' | 'changed' | 'deleted';
  /** Bytes. */
  size?: number;
  /** By its name, for example `text/csv`. */
  media_type?: string;
  /** Its content: text, if it is UTF-8. Missing where it is too large (`resultFileLimitKb`). */
  content?: string | Uint8Array;
  /** Its address for MCP's `resources/read`, if the content is not here: {@link Sandbox.read} reads it. */
  uri?: string;
}

/** How a run ended. */
export type Result = {
  /** Lines of stdout and stderr, in the order in which they were written. */
  output: string[];
  images: Image[];
  /** What `display()` was given, in order, and how the returned value displays itself. Missing if there is nothing. */
  display?: Bundle[];
  /** How many texts and charts of it were left out, as they have too many parts. */
  display_omitted?: number;
  /** Missing if there are none. Hidden files and `__pycache__` are left out. */
  files?: ChangedFile[];
  /** How many there are beyond `resultFilesLimit`. */
  files_omitted?: number;
} & (
  | { status: 'success'; return_value: Json }
  | { status: 'run-error'; error: string }
  /** A package that the code needs cannot be had: the code was not run. */
  | { status: 'install-error'; error: string }
);

/** A piece of output, as it comes. */
export interface OutputLine {
  stream: 'stdout' | 'stderr';
  text: string;
}

/** The progress of something that takes time. */
export interface Progress {
  /** `load`: files of Python itself; `packages`: those of the packages that the code needs. */
  phase: 'load' | 'packages';
  /** What is being done, for people. */
  message: string;
  /** Bytes so far. */
  loaded: number;
  /** Bytes in all, 0 where that is not known. */
  total: number;
}

/** Limits, by their names in docs/settings.md, in camel case. What is left out has its default. */
export interface Limits {
  /** Wall-clock limit of a run; then Python gets a `TimeoutError`. In seconds. */
  timeLimitSeconds?: number;
  /** How long Python may clean up after that; then the interpreter is ended. In seconds. */
  graceSeconds?: number;
  /** The same in fuel: how many million times CPython may look for signals, for clocks that stand still. In millions. */
  fuelLimitMillions?: number;
  /** Memory of the interpreter; then Python gets a `MemoryError`. The packages of a run may not be larger, either. In MiB. */
  memoryLimitMb?: number;
  /** The interpreter's memory, the archives of packages and files together: a deployed isolate has 128 MB for everything. Empty: they are not counted together. In MiB. */
  memoryBudgetMb?: number;
  /** Output in all; what is more is cut, and how much is told. In KiB. */
  outputLimitKb?: number;
  /** The same in lines. */
  outputLimitLines?: number;
  /** One line of output; what is more is cut, which is told. In KiB. */
  lineLimitKb?: number;
  /** Lines of output that are sent as log messages each second; the result has them all. */
  logLimitPerSecond?: number;
  /** The returned value, or the error. In KiB. */
  valueLimitKb?: number;
  /** Of how many values the returned one consists. */
  valueLimitItems?: number;
  /** How deep it nests. */
  valueLimitDepth?: number;
  /** Images of a result. */
  imagesLimit?: number;
  /** One image. In KiB. */
  imageLimitKb?: number;
  /** Code that a client sends. In KiB. */
  codeLimitKb?: number;
  /** Global variables that a client sends. In KiB. */
  globalsLimitKb?: number;
  /** How deep these nest. */
  globalsLimitDepth?: number;
  /** Files of a sandbox. */
  filesLimit?: number;
  /** Their size together; also how large an upload to a session may be. An interpreter that is replaced to add packages gets up to 72 MiB of files from the one before. In MiB. */
  filesLimitMb?: number;
  /** Text and structured content of a result together, as a model reads them: of longer output, values and errors the beginning and the end are kept; of what was displayed, which may have half, all goes first that no model reads. The libraries for programs get all. In KiB. */
  resultLimitKb?: number;
  /** How much of a DataFrame is shown as a table: of more, the first and the last rows. */
  tableRows?: number;
  /** The same of its columns. */
  tableColumns?: number;
  /** How many files a result tells of. */
  resultFilesLimit?: number;
  /** Up to which size a file is part of the result (2 MiB together). In KiB. */
  resultFileLimitKb?: number;
  /** How much of the larger ones is kept, of one run without a session: the result links to them (`resources/read`). Of one principal four times as much is kept, of all (but on the edge) sixteen times, and the oldest goes first. Also kept is all of a result that `RESULT_LIMIT_KB` cuts. `0`: nothing is kept. In MiB. */
  keptFilesLimitMb?: number;
  /** For how long. In minutes. */
  keptMinutes?: number;
  /** Snapshots of packages that are held at once; runs start from them and import nothing. `0`: none are made. Nor are any with `MEMORY_BUDGET_MB`. In MiB. */
  snapshotsLimitMb?: number;
  /** After how long a session ends that is idle. In seconds. */
  sessionIdleSeconds?: number;
  /** How long a session has to be idle before it may have to go for another. In seconds. */
  sessionEvictionSeconds?: number;
  /** Runs at once of each principal (the name of a token), in one instance of the worker, one command or page. */
  runsLimitEach?: number;
  /** The same of all. */
  runsLimit?: number;
  /** Open sessions of each principal. For a further one, one that ran nothing has to go, or one that has been idle for `SESSION_EVICTION_SECONDS`; else it is refused. */
  sessionsLimitEach?: number;
  /** The same of all. */
  sessionsLimit?: number;
}

/** How to make a sandbox. */
export interface SandboxOptions {
  /** Packages that every run may import, as pip takes them: `numpy`, `pandas>=3`. */
  dependencies?: string[];
  /** Whether variables stay from one run to the next. Default: each run has a fresh namespace. */
  persistent?: boolean;
  /**
   * `'exact'`: every integer of a result is a `bigint`, and every `number` was a float. Default: an integer is a `number`
   * up to `Number.MAX_SAFE_INTEGER`, and a `bigint` beyond it.
   */
  numbers?: 'exact';
  limits?: Limits;
  /** Called for each line of output, as it comes. */
  onLog?: (line: OutputLine) => void;
  /** Called while files and packages are loaded. */
  onProgress?: (progress: Progress) => void;
  /** Ends the sandbox. */
  signal?: AbortSignal;
  /** Addresses of folders where packages are looked for. In a page: after `packages/` beside its own files. */
  packageMirrors?: string[];
  /** The package index (PEP 691), for what Pyodide's lock file does not have. Default: PyPI. `''`: none is asked. */
  packageIndex?: string;
  /** In a page: the folder where this package's `assets` are served. Default: beside this script. */
  assets?: string | URL;
  /**
   * In a page: origins whose pages may frame this one. Default: none but its own; where another's page frames it, the
   * sandbox does not start. Forbid it by a header as well: `Content-Security-Policy: frame-ancestors 'self'`.
   */
  embedders?: string[];
}

/** How to run one program. */
export interface EvalOptions {
  /** Stops the run; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  /** Files to put into the working directory first, by their paths. */
  files?: { [path: string]: string | Blob | ArrayBuffer | Uint8Array };
  /**
   * In a page: what the program reads from its stdin, a line for each `input()`. With `onInput` it is read only where that cannot
   * be asked.
   */
  stdin?: string;
  /**
   * In a page whose browser can suspend a program (JSPI): asked for each line that the program reads; `null` is the end. The
   * program waits meanwhile, 10 minutes at most, and its time limit is paused. The prompt was chosen by the program, 2000
   * bytes of it at most: show it as text, and as the program's. The signal aborts when nobody waits for the answer any longer.
   */
  onInput?: (prompt: string, signal: AbortSignal) => string | null | Promise<string | null>;
}

/** The events of a {@link Sandbox} while it works. */
export interface SandboxEvents {
  output: CustomEvent<OutputLine>;
  progress: CustomEvent<Progress>;
}

/** A Python interpreter that reaches nothing. Runs wait for each other. Its events are {@link SandboxEvents}. */
export interface Sandbox extends EventTarget, Disposable {
  /**
   * Runs a program. A Python error is a result, not a rejection.
   * @param globals global variables of the run: a `bigint` goes in as an int, and so does a `number` that is whole
   */
  eval(code: string, globals?: { [name: string]: Json }, options?: EvalOptions): Promise<Result>;
  /**
   * All bytes of a file of a result, however large. It is rejected if they are no longer there: a later run changed the file,
   * say, or a quarter of an hour is over (`keptMinutes`).
   */
  read(file: ChangedFile): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Stops the run that is going on: `KeyboardInterrupt`, and a second later the end of the interpreter. A run that has not begun,
   * as Python boots or its packages are on their way, is rejected.
   */
  interrupt(): void;
  /** A new interpreter: files, imported modules and variables are gone. */
  reset(): Promise<void>;
  /** Ends the sandbox. Runs that go on in it are rejected. */
  close(): void;
}

/** Makes a sandbox, and resolves when all of it is loaded. Python boots meanwhile: a run waits for it, and fails if it cannot. */
export function codeSandbox(options?: SandboxOptions): Promise<Sandbox>;

/** A transport as the official TypeScript SDKs (1.x and 2.x) take it. */
export interface Transport {
  start(): Promise<void>;
  send(message: object, options?: unknown): Promise<void>;
  close(): Promise<void>;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  // biome-ignore lint/suspicious/noExplicitAny: each of the SDKs has a type of its own
  onmessage?: (message: any, extra?: any) => void;
  sessionId?: string;
  setProtocolVersion?: (version: string) => void;
}

/** How to make a server. */
export interface ServerOptions extends Omit<SandboxOptions, 'persistent' | 'numbers' | 'onLog'> {
  /** How the text of results is written. Default: `xml`. */
  returnMode?: 'xml' | 'json';
}

/** In a page: an MCP server with the tool `run_python_code`. */
export interface PythonServer extends Disposable {
  /** The client's side of a connection within this page: `await client.connect(server.transport())`. */
  transport(): Transport;
  /** Serves a client at the other end of a port: messages are JSON-RPC, as objects or as JSON. */
  listen(port: MessagePort): void;
  /**
   * Serves other windows that send JSON-RPC messages to this one by `postMessage`.
   * @param options.origins the origins that are served; `*` is not one
   * @returns a function that stops listening
   */
  listenToWindows(options: { origins: string[] }): () => void;
  close(): void;
}

/** In a page: starts an MCP server, and resolves when it answers. */
export function pythonServer(options?: ServerOptions): Promise<PythonServer>;

/** In a page: a client's transport to a window that serves by {@link PythonServer.listenToWindows}. */
export function windowTransport(target: Window, origin: string): Transport;

/**
 * In a page: offers `run_python_code` to the browser's own agent (WebMCP), where the browser has one.
 * @returns whether it has
 */
export function registerWebMcp(sandbox: Sandbox): boolean;

/** In a page, from `python-sandbox.js`: the class of `<python-sandbox>`. */
export class PythonSandbox extends HTMLElement {
  /** The program. */
  code: string;
  /** Packages, as pip takes them. */
  dependencies: string[];
  /** Whether the program is one that was kept when the page was reloaded. */
  readonly restored: boolean;
  /** Runs the program. `undefined`: it could not be run, and it is shown why. */
  run(): Promise<Result | undefined>;
  /** Stops the run. */
  stop(): void;
  /** A new interpreter; the program stays. */
  reset(): Promise<void>;
}
