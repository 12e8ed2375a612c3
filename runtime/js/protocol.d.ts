// Written by the core's tests, from src/run/protocol.rs.

/** The version of the protocol. */
export declare const VERSION: 2;

/**
 * Message that starts a run.
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
 * JSON of the global variables, as text: only Python parses it, so that its numbers stay exact.
 */
globals: string, 
/**
 * Whether the run uses the namespace of the run before it.
 */
keep: boolean, 
/**
 * Files that are placed in the program's folder first.
 */
files: Array<PlacedFile>, limits: Limits, 
/**
 * What the run may call; absent if nothing.
 */
calls?: Callable, };

/**
 * Message that asks for files, instead of a [`Request`]: see [`FileRequest`].
 */
export type FileRun = { 
/**
 * The first member: it tells this message from a [`Request`].
 */
file: FileRequest, 
/**
 * The version of the protocol.
 */
protocol: number, limits: Limits, };

/**
 * A request about the files in a program's folder. Every path was checked.
 */
export type FileRequest = { "list": { 
/**
 * Lists those after this name.
 */
after: string, 
/**
 * The most that are listed.
 */
most: number, } } | { "read": { 
/**
 * The file's path.
 */
path: string, 
/**
 * Where the bytes begin.
 */
at: number, 
/**
 * The most bytes that are read.
 */
bytes: number, } } | { "write": { 
/**
 * Id of the upload: 128 random bits.
 */
upload: string, 
/**
 * Path of the file.
 */
path: string, 
/**
 * How many bytes were sent before.
 */
at: number, 
/**
 * The bytes in base64.
 */
base64: string, 
/**
 * Whether these are the last bytes.
 */
last: boolean, } } | { "abandon": { 
/**
 * Id of the upload.
 */
upload: string, } } | { "delete": { 
/**
 * The file's path.
 */
path: string, } };

/**
 * Limits of a run. Times are milliseconds.
 */
export type Limits = { 
/**
 * Wall clock until Python gets a `TimeoutError`.
 */
time: number, 
/**
 * Time for cleaning up after that, before the interpreter is ended.
 */
grace: number, 
/**
 * How often CPython may check for signals.
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
 * Lines of output.
 */
lines: number, 
/**
 * Bytes of one line.
 */
line: number, 
/**
 * Bytes of the returned value or the error.
 */
value: number, 
/**
 * Images.
 */
images: number, 
/**
 * Bytes of one image.
 */
imageBytes: number, 
/**
 * MIME bundles that are displayed.
 */
displays: number, 
/**
 * Bytes of one MIME type of a bundle.
 */
displayBytes: number, 
/**
 * Bytes of the frames of all bundles.
 */
displayAll: number, 
/**
 * Rows of a table.
 */
tableRows: number, 
/**
 * Columns of a table.
 */
tableColumns: number, 
/**
 * Depth of nesting of the returned value.
 */
depth: number, 
/**
 * Files and folders, besides those that exist at the start.
 */
files: number, 
/**
 * Bytes of all these files.
 */
fileBytes: number, 
/**
 * Created, changed or deleted files that are reported.
 */
filesTold: number, 
/**
 * Bytes of one file that is sent with its report.
 */
embedBytes: number, 
/**
 * Bytes of all files that are sent so.
 */
embedAll: number, 
/**
 * Bytes of all larger files, which follow in parts.
 */
keptBytes: number, 
/**
 * Bytes of one part.
 */
partBytes: number, };

/**
 * A file that is placed in the program's folder before a run.
 */
export type PlacedFile = { 
/**
 * Its path, relative to the program's folder.
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
 * Calls that may wait for their answers at once.
 */
atOnce: number, 
/**
 * Calls in all.
 */
inAll: number, 
/**
 * Bytes of the arguments of one call.
 */
argumentBytes: number, 
/**
 * How long the run's clock may stand still in all while it waits for answers, in milliseconds.
 */
wait: number, };

/**
 * Output of an isolate: one JSON object with one member per line.
 */
export type Frame = { "protocol": number } | { "stdout": Array<string> } | { "stderr": Array<string> } | { "image": string } | { "display": DisplayFrame } | { "file": FileFrame } | { "part": string } | { "omitted": number } | { "call": CallFrame } | { "cancel": number } | { "end": EndFrame };

/**
 * A displayed value: texts, and JSON as text, by MIME type.
 */
export type DisplayFrame = { "text/html"?: string, "text/markdown"?: string, "text/latex"?: string, "image/svg+xml"?: string, "application/vnd.plotly.v1+json"?: string, "application/vnd.vegalite.v5+json"?: string, "application/vnd.vegalite.v6+json"?: string, };

/**
 * A file that was created, changed or deleted.
 */
export type FileFrame = { path: string, change: Change, 
/**
 * Size in bytes.
 */
size: number, 
/**
 * Its bytes in base64, if they are sent.
 */
base64?: string, };

/**
 * How a file changed.
 */
export type Change = "created" | "changed" | "deleted";

/**
 * A call out of the program.
 */
export type CallFrame = { 
/**
 * Higher than the id of any call before it.
 */
id: number, 
/**
 * One of the names in the request.
 */
name: string, 
/**
 * JSON of the arguments, an object.
 */
arguments: string, };

/**
 * How a run ended: with a value or without, or with an error.
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
 * An isolate's answer: the one frame after the first.
 */
export type FileAnswer = { "protocol": number } | { "listed": ListedFrame } | { "read": ReadFrame } | { "done": Done } | { "refused": Refusal };

/**
 * Files in the order of their names.
 */
export type ListedFrame = { files: Array<ListedFile>, 
/**
 * Whether more files follow.
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
 * Size of the whole file in bytes.
 */
size: number, 
/**
 * Differs after each change of the file.
 */
version: number, 
/**
 * The bytes in base64.
 */
base64: string, };

/**
 * How a request was carried out.
 */
export type Done = "taken" | "created" | "replaced" | "deleted";

/**
 * Why a request was refused.
 */
export type Refusal = "missing" | "nofile" | "link" | "obstructed" | "readonly" | "full" | "busy" | "broken";

/**
 * The answer to a call.
 */
export type Answer = { 
/**
 * The id of the call.
 */
id: number, } & ({ "value": string } | { "error": CallError });

/**
 * Why a call failed: the exception that Python raises.
 */
export type CallError = { 
/**
 * The name of a built-in exception, such as `ValueError`. Python raises a `RuntimeError` instead of one that it does
 * not accept from outside.
 */
type: string, 
/**
 * The exception's text.
 */
message: string, };
