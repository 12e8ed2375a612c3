"""Records the original's answers: `python tests/parity/record.py COMMAND`.

COMMAND starts mcp-run-python 0.0.22 on stdio, and takes `--return-mode` and `--deps`. Every program gets a process of
its own: the original keeps state from one call to the next, and some programs end it. Those that need packages, which
take it seconds to load, share one. Takes about 20 minutes.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from programs import HERE, MODES, NEED_PACKAGES, programs

START = 120
ANSWER = 15
VERSION = '2025-06-18'
PACKAGES = 'numpy,pandas,pydantic,sympy,pillow,matplotlib'


class Original:
    """A process of the original, and its log messages since they were last cleared."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.logs: list[list[str]] = []
        self.calls = 0
        threading.Thread(target=self._read, daemon=True).start()
        client = {'name': 'record', 'version': '1'}
        self._send('initialize', {'protocolVersion': VERSION, 'capabilities': {}, 'clientInfo': client}, 'initialize')
        self._answer('initialize', START)
        self._send('notifications/initialized', {})
        self._send('logging/setLevel', {'level': 'info'}, 'level')
        self._answer('level', START)
        # The first call loads Pyodide: it gets a longer timeout than a program.
        self._call({'python_code': 'None'}, START)

    def ask(self, arguments: dict[str, Any], seconds: float = ANSWER) -> dict[str, Any]:
        """Returns the answer to a program, or how it failed to answer."""
        self.logs.clear()
        try:
            message = self._call(arguments, seconds)
        except queue.Empty:
            return {'failure': f'no answer in {seconds} s'}
        except (EOFError, BrokenPipeError):
            return {'failure': 'the server ended'}
        if 'error' in message:
            return {'failure': f'error: {message["error"]["message"]}'}
        result = message['result']
        text = result['content'][0]['text']
        if result.get('isError'):
            return {'failure': f'error: {text}'}
        return {'text': text, 'logs': [*self.logs]}

    def _call(self, arguments: dict[str, Any], seconds: float) -> dict[str, Any]:
        self.calls += 1
        ident = f'call {self.calls}'
        self._send('tools/call', {'name': 'run_python_code', 'arguments': arguments}, ident)
        return self._answer(ident, seconds)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.put(line)
        self.lines.put(None)

    def _send(self, method: str, params: dict[str, Any], ident: str | None = None) -> None:
        message = {'jsonrpc': '2.0', 'method': method, 'params': params}
        if ident is not None:
            message['id'] = ident
        print(json.dumps(message), file=self.process.stdin, flush=True)

    def _answer(self, ident: str, seconds: float) -> dict[str, Any]:
        while True:
            line = self.lines.get(timeout=seconds)
            if line is None:
                raise EOFError
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if message.get('method') == 'notifications/message':
                self.logs.append([message['params']['level'], message['params']['data']])
            elif message.get('id') == ident:
                return message


@contextmanager
def original(command: str, mode: str, *options: str) -> Iterator[Original]:
    """Starts a process of the original, and ends it after the body."""
    with subprocess.Popen(
        [command, 'stdio', f'--return-mode={mode}', *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding='utf-8',
    ) as process:
        try:
            yield Original(process)
        finally:
            process.kill()


def main() -> None:
    """Records the missing answers to all programs, two at a time."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    command = sys.argv[1]
    corpus = programs()
    for mode in MODES:
        file = HERE / 'golden' / f'{mode}.json'
        # Recorded answers are kept unless their program is gone; delete an answer to record it again.
        known = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in corpus if name not in known]

        def ask(name: str, mode: str = mode) -> dict[str, Any]:
            with original(command, mode) as process:
                return process.ask(corpus[name])

        alone = [name for name in missing if name not in NEED_PACKAGES]
        with ThreadPoolExecutor(2) as pool:
            known.update(zip(alone, pool.map(ask, alone), strict=True))
        if together := [name for name in missing if name in NEED_PACKAGES]:
            with original(command, mode, f'--deps={PACKAGES}') as process:
                known.update((name, process.ask(corpus[name], START)) for name in together)
        for name in missing:
            print(f'{mode} {name}: {known[name].get("failure", "ok")}', flush=True)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({name: known[name] for name in corpus}, indent=1) + '\n')


if __name__ == '__main__':
    main()
