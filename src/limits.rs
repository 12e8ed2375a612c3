//! Every limit of the core, with its reason. A limit that a home may set is a field of [`Limits`] or of [`Quotas`].

use std::time::Duration;

/// Largest body of one HTTP request, in bytes: room for 4 MiB of JSON-escaped code and variables. Checked before the
/// body is held, as wasm memory never shrinks.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// How much of a body that is too large is read and dropped before it is refused, in bytes. It covers what people send
/// by mistake: many clients look for a response only after they have sent all.
pub const MAX_DRAINED: usize = 256 * 1024 * 1024;

/// The same for an upload, as a multiple of what a session may have: more is no mistake.
pub const UPLOAD_DRAINED: usize = 4;

/// How long a body may take to arrive: a client that sends slowly holds a request and its memory.
pub const BODY_TIME: Duration = Duration::from_secs(30);

/// Deepest nesting of a client's JSON: what serde_json allows by default.
pub const MAX_REQUEST_DEPTH: usize = 128;

/// Most values in a client's JSON: a parsed one takes about 90 bytes.
pub const MAX_REQUEST_ITEMS: usize = 250_000;

/// Most messages in one JSON-RPC batch (2025-03-26).
pub const MAX_BATCH: usize = 64;

/// Most requests of one channel that are served at once.
pub const MAX_IN_FLIGHT: usize = 256;

/// Bytes that a frame of an isolate may have besides the output or the value.
pub const FRAME_OVERHEAD: usize = 64 * 1024;

/// Lines that an isolate may add to a run's output, to say how much was left out.
pub const NOTES: usize = 2;

/// How long to wait for the first message of a call before the status line is sent and SSE begins.
pub const FIRST_MESSAGE: Duration = Duration::from_millis(50);

/// How long an interpreter may take to boot and to begin a run.
pub const START_TIME: Duration = Duration::from_secs(60);

/// How long it may take to gather an interpreter's packages before it starts.
pub const PARTS_TIME: Duration = Duration::from_secs(5 * 60);

/// How long a run may wait for earlier runs of its session: longer than all runs of one principal take.
pub const MAX_QUEUE: Duration = Duration::from_secs(60 * 60);

/// How long a run may wait for another interpreter to end, where their number is limited.
pub const PLACE_TIME: Duration = Duration::from_secs(10);

/// How long a run that gave its result may take to end.
pub const LAST_BYTE: Duration = Duration::from_millis(50);

/// How much longer than its grace a run may take to end once it is stopped.
pub const STOP_MARGIN: Duration = Duration::from_millis(1500);

/// How long an interpreter may take to give its session's files.
pub const FILES_TIME: Duration = Duration::from_secs(5);

/// Most bytes of files that are carried over into a new interpreter: the default limit of all files, and their names.
pub const MAX_CARRIED: usize = 72 * 1024 * 1024;

/// How much longer than a run's own limits the host waits for its end, counted from its beginning.
pub const WATCHDOG_MARGIN: Duration = Duration::from_secs(10);

/// How long it may take to take a snapshot of an interpreter.
pub const SNAPSHOT_TIME: Duration = Duration::from_secs(60);

/// Most bytes of one snapshot.
pub const MAX_SNAPSHOT: usize = 256 * MIB;

/// Least bytes of imported packages that make a snapshot worth taking: with fewer, it saves milliseconds.
pub const MIN_SNAPSHOT: usize = 2 * MIB;

/// Most modules that are left out of a snapshot because their imports draw random numbers.
pub const MAX_LEFT_OUT: usize = 4;

/// Bytes of prepared wheels that stay cached, besides what one run needs, where memory has no budget.
pub const KEPT_WHEELS: usize = 256 * MIB;

/// Most requirements of a run of which it is found out whether the rest would fit without them.
pub const MAX_ALTERNATIVES: usize = 32;

/// Longest requirement (PEP 508), in bytes: real ones have some tens.
pub const MAX_REQUIREMENT: usize = 1024;

/// Most modules that are looked for in one run's imports.
pub const MAX_IMPORTS: usize = 256;

/// How deep brackets, and blocks, of code may nest for its imports to be read. CPython takes 100 blocks itself.
pub const MAX_NESTING: usize = 100;

/// Most dependencies of a script block.
pub const MAX_SCRIPT_REQUIREMENTS: usize = 64;

/// Most dependencies in a wheel's metadata, those of its extras included.
pub const MAX_DEPENDENCIES: usize = 2000;

/// Most packages that one run is resolved to.
pub const MAX_PACKAGES: usize = 128;

/// Most questions to an index for one run.
pub const MAX_LOOKUPS: usize = 256;

/// Most imports that are looked up though it is not certain that they are distributions.
pub const MAX_WISHES: usize = 16;

/// How many wheels are fetched at once: each is held in memory until it is prepared.
pub const FETCHES_AT_ONCE: usize = 3;

/// How long one wheel may take to arrive.
pub const FETCH_TIME: Duration = Duration::from_secs(60);

/// How long a download may stall before it is given up.
pub const FETCH_STALL: Duration = Duration::from_secs(10);

/// How long an index may take to answer.
pub const INDEX_TIME: Duration = Duration::from_secs(15);

/// Largest page of an index, in bytes: projects with thousands of files have some megabytes.
pub const MAX_INDEX_PAGE: usize = 32 * 1024 * 1024;

/// Largest file of metadata, in bytes.
pub const MAX_METADATA: usize = 2 * 1024 * 1024;

/// Largest wheel, in bytes. The largest that everyday programs need, scipy, has 14 MB.
pub const MAX_WHEEL: usize = 32 * 1024 * 1024;

/// Most files in a wheel.
pub const MAX_WHEEL_FILES: usize = 20_000;

/// Largest wheel when it is unpacked, in bytes: it is held in memory while it is prepared.
pub const MAX_WHEEL_UNPACKED: usize = 96 * 1024 * 1024;

/// Largest ratio at which a file in a wheel may be packed. Deflate reaches 1,030; real files stay below 100.
pub const MAX_WHEEL_RATIO: usize = 200;

/// Files up to this size, in bytes, are exempt from [`MAX_WHEEL_RATIO`].
pub const WHEEL_RATIO_FREE: usize = 1024 * 1024;

/// Most bytecode of one wheel, in bytes, as an isolate sends it: packed, in base64.
pub const MAX_BYTECODE: usize = 16 * MIB;

/// Longest path of a file, in bytes.
pub const MAX_PATH: usize = 512;

/// Longest part of a path, in bytes: the limit of file systems.
pub const MAX_PATH_PART: usize = 255;

/// Most parts of the path of a program's file.
pub const MAX_PATH_DEPTH: usize = 32;

/// Bytes of a file that go into or out of an isolate at once: a frame has them in base64.
pub const FILE_PART: usize = MIB;

/// Most bytes of a file that are read as an MCP resource: it is held whole, and sent as one message.
pub const MAX_RESOURCE: usize = 4 * MIB;

/// How many files a page of a list has.
pub const FILES_LISTED: usize = 200;

/// How long an upload may stall before it is given up.
pub const UPLOAD_STALL: Duration = Duration::from_secs(30);

/// How long an upload may take in all, including the runs that it waits for.
pub const UPLOAD_TIME: Duration = Duration::from_secs(10 * 60);

/// Most files that are put in place before one run.
pub const MAX_PLACED: usize = 1000;

/// Bytes of all files together that are part of one result.
pub const MAX_EMBEDDED: usize = 2 * MIB;

/// Bytes of one part of a file that is sent to be kept: a multiple of three, so that base64 of it needs no padding.
pub const PART_BYTES: usize = 768 * 1024;

/// Bytes that are kept for one principal, as a multiple of what one run may leave.
pub const KEPT_EACH: u64 = 4;

/// The same for all principals together.
pub const KEPT_ALL: u64 = 16;

/// Bytes that a kept item counts as at least.
pub const KEPT_LEAST: u64 = 16 * 1024;

/// How long it may take to store one part of a file, or to read it again.
pub const KEEP_TIME: Duration = Duration::from_secs(10);

/// Most bundles that a run displays.
pub const MAX_DISPLAYS: usize = 64;

/// Bytes of one type of a bundle: a page's worth of HTML. A chart with more points than that is better shown as an
/// image.
pub const MAX_DISPLAY: usize = 256 * 1024;

/// Bytes of the frames of all bundles of a run.
pub const MAX_DISPLAYED: usize = MIB;

/// Deepest nesting of a bundle's JSON; serde_json allows more by default.
pub const MAX_DISPLAY_DEPTH: usize = 64;

/// Most values in the JSON of all bundles of a run: a parsed one takes about 90 bytes.
pub const MAX_DISPLAY_ITEMS: usize = 100_000;

/// Limits of one run; a home may set each.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall-clock time of a run; then Python gets a `TimeoutError`.
    pub time: Duration,
    /// How long Python may clean up after a `TimeoutError`; then the interpreter is ended.
    pub grace: Duration,
    /// Fuel of a run: how many times CPython may check for signals, which it does every few dozen bytecodes. Ends a
    /// loop even where the clock stands still.
    pub fuel: u64,
    /// Bytes of the interpreter's memory; then Python gets a `MemoryError`.
    pub memory: usize,
    /// Bytes of that memory, the archives of packages and the files together, where the platform bounds their sum: a
    /// deployed isolate has 128 MB. Then Python gets a `MemoryError`, or no space for files.
    pub budget: Option<usize>,
    /// Bytes of all output lines together.
    pub output_bytes: usize,
    /// How many lines of output.
    pub output_lines: usize,
    /// Bytes of one line of output.
    pub line_bytes: usize,
    /// How many lines a second are sent as log messages. The result has all lines.
    pub logs_per_second: usize,
    /// Bytes of the returned value's JSON, or of the error.
    pub value_bytes: usize,
    /// Bytes of a result's text and structured content together, most of which a model has to read. More would not fit
    /// into its context for long; a program that wants all asks for it.
    pub result_bytes: usize,
    /// How many images a result may have.
    pub images: usize,
    /// Bytes of one image, as PNG.
    pub image_bytes: usize,
    /// Rows of the table that is shown for a DataFrame: of a longer one, the first and the last.
    pub table_rows: usize,
    /// Columns of that table, likewise.
    pub table_columns: usize,
    /// How many values the returned value consists of.
    pub value_items: usize,
    /// Deepest nesting of the returned value; deeper values are elided. The default is where `pydantic_core` gives up.
    pub value_depth: usize,
    /// Bytes of `python_code`, UTF-8.
    pub code_bytes: usize,
    /// Bytes of the JSON of `global_variables`.
    pub globals_bytes: usize,
    /// Deepest nesting of `global_variables`.
    pub globals_depth: usize,
    /// How many files and folders a sandbox may have.
    pub files: usize,
    /// Bytes of all its files together.
    pub file_bytes: usize,
    /// How many files that a run made, changed or deleted are listed in its result.
    pub files_told: usize,
    /// Bytes of one file that is part of the result.
    pub embed_bytes: usize,
    /// Bytes of all larger files together that are kept for a run without a session.
    pub kept_bytes: usize,
    /// Limits of a run's calls.
    pub calls: CallLimits,
}

/// Limits of the calls of a running program. Waiting calls are all held: `at_once` times `argument_bytes`.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// How many calls of a run may wait for their answers.
    pub at_once: usize,
    /// How many calls there may be in one run.
    pub in_all: usize,
    /// Bytes of the JSON of one call's arguments.
    pub argument_bytes: usize,
    /// How many values the arguments consist of: a parsed one takes about 90 bytes.
    pub argument_items: usize,
    /// Deepest nesting of the arguments.
    pub argument_depth: usize,
    /// How long the answer to one call may take.
    pub time: Duration,
    /// Bytes of one answer's JSON.
    pub answer_bytes: usize,
    /// How long a run's clock and its watchdogs may be paused in all while it waits for answers.
    pub wait: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            at_once: 64,
            in_all: 1000,
            argument_bytes: 256 * 1024,
            argument_items: 10_000,
            argument_depth: 100,
            time: Duration::from_secs(60),
            answer_bytes: 2 * MIB,
            wait: Duration::from_secs(5 * 60),
        }
    }
}

impl CallLimits {
    /// Limits of what a program asks a person: a line at a time, and time to think. The page and its frame have bounds
    /// of their own around these: `MAX_PROMPT` and `MAX_ANSWER` of messages.js.
    pub const INPUT: Self = Self {
        at_once: 1,
        in_all: 1000,
        argument_bytes: 16 * 1024,
        argument_items: 4,
        argument_depth: 2,
        time: Duration::from_secs(10 * 60),
        answer_bytes: 256 * 1024,
        wait: Duration::from_secs(60 * 60),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(60),
            grace: Duration::from_secs(1),
            result_bytes: 64 * 1024,
            table_rows: 30,
            table_columns: 20,
            images: 8,
            image_bytes: MIB,
            fuel: 200_000_000,
            memory: 1024 * MIB,
            budget: None,
            output_bytes: 2 * MIB,
            output_lines: 20_000,
            line_bytes: 64 * 1024,
            logs_per_second: 1000,
            value_bytes: 2 * MIB,
            value_items: 200_000,
            value_depth: 255,
            code_bytes: MIB,
            globals_bytes: 4 * MIB,
            globals_depth: 100,
            files: 10_000,
            file_bytes: 64 * MIB,
            files_told: 100,
            embed_bytes: 256 * 1024,
            kept_bytes: 64 * MIB,
            calls: CallLimits::default(),
        }
    }
}

const MIB: usize = 1024 * 1024;

/// How long an interpreter that was booted ahead is kept; the calls of a model that goes on come sooner than that.
pub const AHEAD_TIME: Duration = Duration::from_secs(30);

/// Most kinds of interpreters that a worker boots ahead: each holds from 35 MB to a few hundred.
pub const MAX_AHEAD: usize = 8;

/// How much may go on at once; a home may set each.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Runs of one principal.
    pub runs_each: usize,
    /// Runs of all.
    pub runs: usize,
    /// Open sessions of one principal.
    pub sessions_each: usize,
    /// Open sessions of all.
    pub sessions: usize,
    /// How long a session or its interpreter must be idle before it may be ended because another needs its place.
    pub evictable_after: Duration,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            runs_each: 32,
            runs: 64,
            sessions_each: 100,
            sessions: 1000,
            evictable_after: Duration::from_secs(5 * 60),
        }
    }
}
