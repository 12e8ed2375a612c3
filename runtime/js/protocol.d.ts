// Written by the core's tests, from src/run/protocol.rs.

/** The version of the protocol. */
export declare const VERSION: 2;

/**
 * What starts a run.
 */
export type Request = { 
/**
 * The version of the protocol.
 */
protocol: number, 
/**
 * Python source.
 */
code: string, 
/**
 * JSON of the global variables. A text of its own: only Python reads it, so that its numbers stay what they are.
 */
globals: string, 
/**
 * Whether the namespace is that of the run before.
 */
keep: boolean, 
/**
 * What is placed in the program's folder first.
 */
files: Array<PlacedFile>, limits: Limits, 
/**
 * What the run may call; nothing, if it is not there.
 */
calls?: Callable, };

/**
 * What asks for files, instead of a [`Request`]: see [`FileRequest`].
 */
export type FileRun = { 
/**
 * The first member: it tells the one from the other.
 */
file: FileRequest, 
/**
 * The version of the protocol.
 */
protocol: number, limits: Limits, };

/**
 * What is asked of the files in a program's folder. Every path was checked.
 */
export type FileRequest = { "list": { 
/**
 * The last that is known.
 */
after: string, 
/**
 * How many.
 */
most: number, } } | { "read": { 
/**
 * Its path.
 */
path: string, 
/**
 * Where they begin.
 */
at: number, 
/**
 * How many at most.
 */
bytes: number, } } | { "write": { 
/**
 * Names the upload: 128 random bits.
 */
upload: string, 
/**
 * Where it goes.
 */
path: string, 
/**
 * How many came before.
 */
at: number, 
/**
 * Its bytes in base64.
 */
base64: string, 
/**
 * Whether they are the last.
 */
last: boolean, } } | { "abandon": { 
/**
 * Its name.
 */
upload: string, } } | { "delete": { 
/**
 * Its path.
 */
path: string, } };

/**
 * What a run may use. Times are milliseconds.
 */
export type Limits = { 
/**
 * Wall clock until Python gets a `TimeoutError`.
 */
time: number, 
/**
 * How long it may clean up after that, before the interpreter ends.
 */
grace: number, 
/**
 * How often CPython may ask for signals.
 */
fuel: number, 
/**
 * Bytes of the interpreter's memory.
 */
memory: number, 
/**
 * Bytes of that memory, the packages' archives and the files, together.
 */
budget: number | null, 
/**
 * Bytes of output.
 */
output: number, 
/**
 * How many lines there may be in it.
 */
lines: number, 
/**
 * Bytes of one.
 */
line: number, 
/**
 * Bytes of the returned value or the error.
 */
value: number, 
/**
 * How many images at most.
 */
images: number, 
/**
 * Bytes of one image.
 */
imageBytes: number, 
/**
 * How many bundles are displayed at most.
 */
displays: number, 
/**
 * Bytes of one type of a bundle.
 */
displayBytes: number, 
/**
 * Bytes of all their frames.
 */
displayAll: number, 
/**
 * Rows of a table.
 */
tableRows: number, 
/**
 * Columns of one.
 */
tableColumns: number, 
/**
 * How deep the returned value may nest.
 */
depth: number, 
/**
 * Files and folders, besides those that were there at the start.
 */
files: number, 
/**
 * Bytes of all of them.
 */
fileBytes: number, 
/**
 * How many that it made, changed or deleted are told of at most.
 */
filesTold: number, 
/**
 * Bytes of one that is sent.
 */
embedBytes: number, 
/**
 * Bytes of all that are sent.
 */
embedAll: number, 
/**
 * Bytes of all larger ones that follow in parts.
 */
keptBytes: number, 
/**
 * Bytes of one part.
 */
partBytes: number, };

/**
 * A file that is placed before a run.
 */
export type PlacedFile = { 
/**
 * Where, relative to the program's folder.
 */
path: string, 
/**
 * Its bytes in base64 (RFC 4648, section 4).
 */
base64: string, };

/**
 * What a run may call, and how much.
 */
export type Callable = { names: Array<string>, 
/**
 * How many calls may wait for their answers.
 */
atOnce: number, 
/**
 * How many there may be in all.
 */
inAll: number, 
/**
 * Bytes of the arguments of one.
 */
argumentBytes: number, 
/**
 * How long the run's clock may stand still, in all, while it waits for answers, in milliseconds.
 */
wait: number, };

/**
 * What comes out of an isolate: a JSON object a line, of one member.
 */
export type Frame = { "protocol": number } | { "stdout": Array<string> } | { "stderr": Array<string> } | { "image": string } | { "display": DisplayFrame } | { "file": FileFrame } | { "part": string } | { "omitted": number } | { "call": CallFrame } | { "cancel": number } | { "end": EndFrame };

/**
 * A value as it is displayed: its texts, and its JSON as texts, by their MIME types.
 */
export type DisplayFrame = { "text/html"?: string, "text/markdown"?: string, "text/latex"?: string, "image/svg+xml"?: string, "application/vnd.plotly.v1+json"?: string, "application/vnd.vegalite.v5+json"?: string, "application/vnd.vegalite.v6+json"?: string, };

/**
 * A file that was made, changed or deleted.
 */
export type FileFrame = { path: string, change: Change, 
/**
 * In bytes.
 */
size: number, 
/**
 * Its bytes, if they are sent.
 */
base64?: string, };

/**
 * What became of a file.
 */
export type Change = "created" | "changed" | "deleted";

/**
 * A call out of the program.
 */
export type CallFrame = { 
/**
 * Higher than that of any call before it.
 */
id: number, 
/**
 * One of those in the request.
 */
name: string, 
/**
 * JSON of an object.
 */
arguments: string, };

/**
 * How a run ended. With a value at most, or with an error.
 */
export type EndFrame = { status: Status, 
/**
 * The value, if it is a `str`.
 */
text?: string, 
/**
 * JSON of any other value.
 */
json?: string, error?: string, };

export type Status = "success" | "run-error";

/**
 * What an isolate answers: the one frame after the first.
 */
export type FileAnswer = { "protocol": number } | { "listed": ListedFrame } | { "read": ReadFrame } | { "done": Done } | { "refused": Refusal };

/**
 * Files by their names.
 */
export type ListedFrame = { files: Array<ListedFile>, 
/**
 * Whether there are more after them.
 */
more: boolean, };

/**
 * A file in a program's folder.
 */
export type ListedFile = { 
/**
 * Relative to the program's folder.
 */
path: string, 
/**
 * In bytes.
 */
size: number, };

/**
 * Bytes of a file.
 */
export type ReadFrame = { 
/**
 * Of the whole file, in bytes.
 */
size: number, 
/**
 * Another after each change of it.
 */
version: number, base64: string, };

/**
 * What was done.
 */
export type Done = "taken" | "created" | "replaced" | "deleted";

/**
 * Why it was not done.
 */
export type Refusal = "missing" | "nofile" | "link" | "obstructed" | "readonly" | "full" | "busy" | "broken";

/**
 * The answer to a call.
 */
export type Answer = { 
/**
 * That of the call.
 */
id: number, } & ({ "value": string } | { "error": CallError });

/**
 * Why a call failed: what Python raises.
 */
export type CallError = { 
/**
 * The name of a built-in exception, such as `ValueError`. For one that Python does not take from outside, it raises a
 * `RuntimeError`.
 */
type: string, 
/**
 * What it says.
 */
message: string, };
