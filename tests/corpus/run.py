"""Runs the corpus here and in a native CPython, and prints what does not pass here, by cause.

DESK is the command of the desk's program, MIRROR the address of Pyodide's wheels if it is not theirs. This Python has
the libraries to compare with, unless only the sample is run. Programs that natively fail, or take longer than
NATIVE_TIME, are left out.
"""

import argparse
import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs
from programs import Program

HERE = Path(__file__).parent

# How long a program may take natively, and here, in seconds.
NATIVE_TIME = 20
TIME = 120

# How many tests of a CPython module may fail before the rest of the module is skipped.
MOST_BAD = 200

# How long a module of CPython's tests may take, in seconds, until no further interpreter is started for it.
MOST_TIME = 600

SETTINGS = {
    'TIME_LIMIT_SECONDS': TIME,
    'OUTPUT_LIMIT_KB': 2048,
    'OUTPUT_LIMIT_LINES': 100_000,
}

# Numbers, whose last digits differ by platform, and memory addresses, which differ by run.
_NUMBER = re.compile(r'[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?')
_ADDRESS = re.compile(r'0x[0-9a-f]+')


@dataclass
class Outcome:
    """The outcome of a program: `error` is '' if it passed."""

    error: str
    output: str
    seconds: float


# The native outcome, and the one here if the program passed natively.
Result = tuple[Outcome, Outcome | None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--only', action='append', help='a source, such as pandas')
    parser.add_argument('--share', type=float, default=1.0, help='which part of the programs, the same each time')
    parser.add_argument(
        '--sample',
        action='store_true',
        help='only what sample.txt names, and only here: all of it passes natively, and has to pass',
    )
    parser.add_argument('--resume', action='store_true', help='goes on where the last time was ended')
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 2)
    arguments = parser.parse_args()

    sources = json.loads((HERE / 'sources.json').read_text())
    sample = set((HERE / 'sample.txt').read_text().split()) if arguments.sample else None
    chosen: list[Program] = []
    for name, source in sources.items():
        if arguments.only and name not in arguments.only:
            continue
        archives = [arguments.folder / archive['file'] for archive in source]
        if not all(archive.exists() for archive in archives):
            print(f'{name}: what it consists of could not be had', flush=True)
            continue
        of = programs.read(name, archives)
        chosen += [one for one in of if one.id in sample] if sample is not None else programs.share(of, arguments.share)

    # One line for each finished program, so that `--resume` can continue: all of them take hours.
    kept = arguments.folder / ('results.jsonl' if sample is None else 'sample.jsonl')
    known = read_results(kept) if arguments.resume and kept.exists() else {}
    results: list[Result] = []
    with Desk() as desk, ThreadPoolExecutor(arguments.jobs) as pool, kept.open('a' if known else 'w') as file:
        run = _here if arguments.sample else _both
        outcomes = pool.map(lambda program: known.get(program.id) or run(desk, program), chosen)
        for program, result in zip(chosen, outcomes, strict=True):
            results.append(result)
            if program.id in known:
                continue
            native, here = result
            line = {'id': program.id, 'native': native.__dict__, 'here': here and here.__dict__}
            print(json.dumps(line), file=file, flush=True)
            said = f'not natively: {native.error}' if here is None else here.error.strip().split('\n')[-1] or 'ran'
            natively_too = f', {native.seconds:.1f} natively' if native.seconds else ''
            seconds = f'{here.seconds:.1f} s here{natively_too}' if here else ''
            print(f'[{len(results)}/{len(chosen)}] {program.id}: {said[:120]} {seconds}', file=sys.stderr, flush=True)
    passed = report(chosen, results)
    if sample is None:
        return 0
    # Programs whose archives could not be fetched are skipped.
    failed = len(chosen) - passed
    skipped = len(sample) - len(chosen)
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return 1 if failed else 0


def read_results(file: Path) -> dict[str, Result]:
    """Reads earlier results, by program, and removes an incomplete last line from the file."""
    text = file.read_text()
    whole = text[: text.rfind('\n') + 1]
    file.write_text(whole)
    lines = [json.loads(line) for line in whole.splitlines()]
    return {
        line['id']: (Outcome(**line['native']), Outcome(**line['here']) if line['here'] else None) for line in lines
    }


def _here(desk: 'Desk', program: Program) -> Result:
    """Runs a program here, and counts it as one that passes natively, in no time."""
    here = desk.run_tests(program) if program.files else desk.run(program, program.code)
    return Outcome('', here.output, 0), here


def _both(desk: 'Desk', program: Program) -> Result:
    # CPython's own tests are for another version than this Python: they count as passed natively.
    if program.files:
        return _here(desk, program)
    native = natively(program)
    return native, None if native.error else desk.run(program, program.code)


def natively(program: Program) -> Outcome:
    """Runs a program in this Python, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'program.py'
        file.write_text(program.code)
        env = {**os.environ, 'MPLBACKEND': 'agg', 'HOME': folder, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
        start = time.monotonic()
        with subprocess.Popen(
            [sys.executable, '-W', 'ignore', file.name],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors='replace',
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=NATIVE_TIME)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return Outcome('takes too long natively', '', NATIVE_TIME)
        lines = errors.strip().splitlines()
        error = '' if process.returncode == 0 else (lines[-1] if lines else f'status {process.returncode}')
        return Outcome(error, output, time.monotonic() - start)


class Desk:
    """A context manager that runs the desk's program as a server on loopback."""

    def __enter__(self) -> 'Desk':
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.port = port
        settings = {**SETTINGS, **({'PACKAGE_MIRRORS': mirror} if (mirror := os.environ.get('MIRROR')) else {})}
        flags = [part for name, value in settings.items() for part in ('--set', f'{name}={value}')]
        command = [os.environ['DESK'], '--port', str(port), *flags, 'streamable-http-stateless']
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise RuntimeError('the desk does not answer')

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def run_tests(self, program: Program) -> Outcome:
        """Runs a module of CPython's tests; after a test that ends the interpreter, continues in a fresh one."""
        bad, count, start, seconds = [], 0, 0, 0.0
        while len(bad) < MOST_BAD and seconds < MOST_TIME:
            here = self.run(program, programs.tests_of(program, start))
            seconds += here.seconds
            lines = _told(here.output)
            name = ''
            for line in lines:
                if line[0] == 'begins':
                    _, start, name = line
                    count += 1
                elif line[1]:
                    bad.append([name, line[1]])
            if not here.error:
                break
            bad.append([name or 'its import', here.error])
            start += 1
            if not name:
                count += 1
                break
        return Outcome('', json.dumps({'failed': bad, 'count': count}), seconds)

    def run(self, program: Program, code: str) -> Outcome:
        """Runs code in a fresh interpreter."""
        arguments: dict[str, object] = {'python_code': code}
        if program.files:
            arguments['files'] = {
                path: {'base64': base64.b64encode(content).decode()} for path, content in program.files.items()
            }
        params = {
            'name': 'run_python_code',
            'arguments': arguments,
            '_meta': {
                'io.modelcontextprotocol/protocolVersion': '2026-07-28',
                'io.modelcontextprotocol/clientCapabilities': {},
            },
        }
        body = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': 'tools/call', 'params': params}).encode()
        headers = {
            'content-type': 'application/json',
            'accept': 'application/json, text/event-stream',
            'mcp-protocol-version': '2026-07-28',
            'mcp-method': 'tools/call',
            'mcp-name': 'run_python_code',
        }
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=3 * TIME)
        start = time.monotonic()
        try:
            connection.request('POST', '/mcp', body, headers)
            answer = connection.getresponse().read().decode()
        except OSError as error:
            return Outcome(f'no answer: {error}', '', time.monotonic() - start)
        finally:
            connection.close()
        seconds = time.monotonic() - start
        messages = [line.removeprefix('data: ') for line in answer.splitlines() if line.startswith(('data: {', '{'))]
        message = json.loads(messages[-1])
        result = message.get('result', {}).get('structuredContent')
        if not result:
            return Outcome(json.dumps(message)[:2000], '', seconds)
        output = '\n'.join(result.get('output') or [])
        if result['status'] != 'success':
            return Outcome(result.get('error') or result['status'], output, seconds)
        return Outcome('', output, seconds)


def _told(output: str) -> Iterator[list[Any]]:
    """Yields what a module's tests reported. The last line may be cut off, if the interpreter ended."""
    for line in output.splitlines():
        if line.startswith(('["begins', '["ends')):
            try:
                yield json.loads(line)
            except ValueError:
                return


def _same(one: str, other: str) -> bool:
    """Whether two outputs are equal, apart from the last digits of numbers, addresses and white space."""
    one, other = (_ADDRESS.sub('', text) for text in (one, other))
    if _NUMBER.sub('', one).split() != _NUMBER.sub('', other).split():
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=False)
    return all(abs(float(a) - float(b)) <= 1e-4 * max(1e-8, abs(float(a)), abs(float(b))) + 1e-8 for a, b in pairs)


def _cause(error: str) -> str:
    """Returns the first cause in causes.toml that matches the error, or else the error's last line."""
    for cause, patterns in CAUSES.items():
        if any(re.search(pattern, error) for pattern in patterns):
            return cause
    lines = [line for line in error.strip().splitlines() if line.strip()]
    return lines[-1][:160] if lines else 'no error was told'


CAUSES: dict[str, list[str]] = tomllib.loads((HERE / 'causes.toml').read_text())


def report(chosen: list[Program], results: list[Result]) -> int:
    """Prints the tables, and returns how many programs pass here."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    causes: dict[str, list[str]] = defaultdict(list)
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    tests = Counter[str]()
    for program, (native, here) in zip(chosen, results, strict=True):
        source = program.id.split('/', 1)[0]
        if here is None:
            counts[source]['not natively'] += 1
            continue
        counts[source]['natively'] += 1
        if program.files and not here.error:
            value = json.loads(here.output)
            failed_here = value['failed']
            tests.update(passed=value['count'] - len(failed_here), failed=len(failed_here))
            for test, text in failed_here:
                causes[f'CPython: {_cause(text)}'].append(test)
            if failed_here:
                continue
        elif here.error:
            causes[_cause(here.error)].append(program.id)
            continue
        elif program.prints_values and not _same(native.output, here.output):
            # Random numbers, another version of a library, or another size of an int.
            causes['passes, and prints something else'].append(program.id)
        counts[source]['here'] += 1
        times[source].append((native.seconds, here.seconds))
    for cause, ids in sorted(causes.items(), key=lambda item: -len(item[1])):
        print(f'{len(ids):5}  {cause}')
        for one in ids[:5]:
            print(f'           {one}')
    print(f'\n{"":14} {"passes natively":>16} {"here":>6} {"":>6} {"s natively":>11} {"s here":>7}  (medians)')
    total = Counter[str]()
    for source, count in counts.items():
        native_times, here_times = (sorted(pair[k] for pair in times[source]) or [0.0] for k in (0, 1))
        native_time, here_time = (sorted_times[len(sorted_times) // 2] for sorted_times in (native_times, here_times))
        part = count['here'] / count['natively'] if count['natively'] else 0
        print(
            f'{source:14} {count["natively"]:16} {count["here"]:6} {part:6.1%} '
            f'{f"{native_time:.2f}" if native_time else "-":>11} {here_time:7.2f}'
        )
        total.update(count)
    if tests:
        print(f'tests of CPython: {tests["passed"]} pass, {tests["failed"]} fail')
    return total['here']


if __name__ == '__main__':
    sys.exit(main())
