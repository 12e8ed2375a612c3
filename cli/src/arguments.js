// The command line: the original's words, and ours.
import { parseArgs } from 'node:util';
import { manifest } from './manifest.js';

export const MODES = ['stdio', 'streamable-http', 'streamable-http-stateless', 'example', 'print-config'];

export const USAGE = `usage: mcp-run-python [-h] [--version] [options] {${MODES.join(',')}}`;

export const HELP = `${USAGE}

mcp-run-python v${manifest.version}

MCP server for running untrusted Python code.

modes:
  stdio                      MCP over stdin and stdout: what desktop clients start
  streamable-http            MCP over HTTP, with sessions, at http://127.0.0.1:3001/mcp
  streamable-http-stateless  the same without sessions
  example                    runs a short program that needs numpy, and prints the result
  print-config CLIENT        prints what to put into a client's configuration; without CLIENT, which there are

options:
  -h, --help             show this help and exit
  --version              show the version and exit
  --port PORT            port of the HTTP server [3001]; 0 chooses a free one
  --host ADDRESS         address that the HTTP server listens on [127.0.0.1]
  --deps, --dependencies LIST
                         packages to install, separated by commas
  --return-mode xml|json
                         how the text of results is written [xml]
  --time-limit SECONDS   wall-clock limit of a run [60]
  --processes N          workerd processes at most [the cores, at least 2]
  --set NAME=VALUE       any other setting of the README's table, for example SESSION_IDLE_SECONDS=600
  --disable-networking   for the original's sake: Python has no network anyway
  --verbose              say more, on stderr
  --log-format text|json
                         how that is written [text]
`;

/** Wrong words on the command line. */
export class UsageError extends Error {}

/**
 * @typedef {object} Arguments
 * @property {string} mode
 * @property {string[]} rest what follows `print-config`
 * @property {string} host
 * @property {number} port
 * @property {number | undefined} processes
 * @property {Record<string, string>} settings by their names in camel case
 * @property {boolean} verbose
 * @property {'text' | 'json'} logFormat
 */

/**
 * @param {string[]} args
 * @returns {Arguments | 'help' | 'version'}
 */
export function readArguments(args) {
  const { values, positionals } = parsed(args);
  if (values.help) return 'help';
  if (values.version) return 'version';
  const [mode, ...rest] = positionals;
  if (!mode) throw new UsageError('Mode is required');
  if (!MODES.includes(mode)) {
    throw new UsageError(`argument mode: invalid choice: '${mode}' (choose from ${MODES.join(', ')})`);
  }
  if (rest.length > (mode === 'print-config' ? 1 : 0)) {
    throw new UsageError(`unrecognized arguments: ${rest.join(' ')}`);
  }
  const deps = values.deps ?? values.dependencies;
  return {
    mode,
    rest,
    host: values.host ?? '127.0.0.1',
    port: whole('--port', values.port, 0, 65535) ?? 3001,
    processes: whole('--processes', values.processes, 1, 256),
    settings: {
      ...(values['return-mode'] && { returnMode: oneOf('--return-mode', values['return-mode'], ['xml', 'json']) }),
      ...(values['time-limit'] && { timeLimitSeconds: values['time-limit'] }),
      ...(deps && { dependencies: deps }),
      ...(mode === 'streamable-http-stateless' && { legacySessions: 'false' }),
      ...Object.fromEntries((values.set ?? []).map(setting)),
    },
    verbose: values.verbose ?? false,
    logFormat: /** @type {'text' | 'json'} */ (oneOf('--log-format', values['log-format'] ?? 'text', ['text', 'json'])),
  };
}

/** @param {string[]} args */
function parsed(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        version: flag,
        port: text,
        host: text,
        deps: text,
        dependencies: text,
        'return-mode': text,
        'time-limit': text,
        processes: text,
        set: { type: 'string', multiple: true },
        'disable-networking': flag,
        verbose: flag,
        'log-format': text,
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message.split('. ')[0] : String(error));
  }
}

/** @param {string} name @param {string | undefined} text @param {number} least @param {number} most */
function whole(name, text, least, most) {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < least || number > most) {
    throw new UsageError(`argument ${name}: '${text}' is no whole number from ${least} to ${most}`);
  }
  return number;
}

/** @param {string} name @param {string} text @param {string[]} choices */
function oneOf(name, text, choices) {
  if (choices.includes(text)) return text;
  throw new UsageError(`argument ${name}: invalid choice: '${text}' (choose from ${choices.join(', ')})`);
}

/** `SESSION_IDLE_SECONDS=600` as a member of the core's options. @param {string} text @returns {[string, string]} */
function setting(text) {
  const [, name, value] = text.match(/^([A-Z][A-Z0-9_]*)=(.*)$/s) ?? [];
  if (!name) throw new UsageError(`argument --set: '${text}' must be NAME=VALUE`);
  return [name.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase()), value];
}
