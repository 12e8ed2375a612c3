"""Records the original's answers: `python tests/parity/record.py COMMAND`.

COMMAND starts mcp-run-python 0.0.22 on stdio, and takes `--return-mode`. Every program gets a process of its own: the
original keeps state from one call to the next, and some programs end it. Takes about 20 minutes.
"""

import json
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from programs import HERE, MODES, programs

START = 60
ANSWER = 15
VERSION = '2025-06-18'


def ask(command: str, mode: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The answer of a fresh process, or how it failed to answer."""
    process = subprocess.Popen(
        [command, 'stdio', f'--return-mode={mode}'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding='utf-8',
    )
    assert process.stdin
    assert process.stdout
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    logs: list[list[str]] = []

    def send(method: str, params: dict[str, Any], ident: int | None = None) -> None:
        message = {'jsonrpc': '2.0', 'method': method, 'params': params}
        if ident is not None:
            message['id'] = ident
        print(json.dumps(message), file=process.stdin, flush=True)

    def answer(ident: int, seconds: float) -> dict[str, Any]:
        while True:
            line = lines.get(timeout=seconds)
            if line is None:
                raise EOFError
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if message.get('method') == 'notifications/message':
                logs.append([message['params']['level'], message['params']['data']])
            elif message.get('id') == ident:
                return message

    try:
        client = {'name': 'record', 'version': '1'}
        send('initialize', {'protocolVersion': VERSION, 'capabilities': {}, 'clientInfo': client}, 1)
        answer(1, START)
        send('notifications/initialized', {})
        send('logging/setLevel', {'level': 'info'}, 2)
        answer(2, START)
        # Pyodide is loaded by the first call; its limit is not the program's.
        send('tools/call', {'name': 'run_python_code', 'arguments': {'python_code': 'None'}}, 3)
        answer(3, START)
        logs.clear()
        send('tools/call', {'name': 'run_python_code', 'arguments': arguments}, 4)
        message = answer(4, ANSWER)
        if 'error' in message:
            return {'failure': f'error: {message["error"]["message"]}'}
        result = message['result']
        text = result['content'][0]['text']
        if result.get('isError'):
            return {'failure': f'error: {text}'}
        return {'text': text, 'logs': logs}
    except queue.Empty:
        return {'failure': f'no answer in {ANSWER} s'}
    except (EOFError, BrokenPipeError):
        return {'failure': 'the server ended'}
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Asks for all of them, two at a time."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    corpus = programs()
    for mode in MODES:
        file = HERE / 'golden' / f'{mode}.json'
        # What was recorded is kept, unless its program is gone; delete an answer to have it recorded again.
        known = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in corpus if name not in known]
        with ThreadPoolExecutor(2) as pool:
            answers = pool.map(lambda name: ask(sys.argv[1], mode, corpus[name]), missing)  # noqa: B023
            for done, (name, answer) in enumerate(zip(missing, answers, strict=True), 1):
                print(f'{mode} {done}/{len(missing)} {name}: {answer.get("failure", "ok")}', flush=True)
                known[name] = answer
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({name: known[name] for name in corpus}, indent=1) + '\n')


if __name__ == '__main__':
    main()
