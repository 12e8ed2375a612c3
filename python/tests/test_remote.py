"""The library against a server that runs elsewhere."""

import hashlib
import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import anyio
import pytest
from mcp_run_python import CodeSandbox, Output, Result, SandboxError, code_sandbox

pytestmark = pytest.mark.anyio

TOKEN = 'secret-of-ann'  # noqa: S105
ACCESS = ['--set', 'ACCESS=token', '--set', f'ACCESS_TOKENS=ann:{hashlib.sha256(TOKEN.encode()).hexdigest()}']


def serve(*options: str) -> Iterator[str]:
    """Runs the program as a server and yields its address."""
    command = [sys.executable, '-m', 'mcp_run_python', '--port', '0', *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        said = ''
        for line in server.stderr:
            said += line
            if found := re.search(r' on (http:\S+)', line):
                break
        else:
            raise RuntimeError(said)
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield found[1]
        server.terminate()


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    yield from serve(*ACCESS, 'streamable-http')


@pytest.fixture(scope='module')
def stateless() -> Iterator[str]:
    yield from serve('streamable-http-stateless')


@pytest.fixture(scope='module')
def few() -> Iterator[str]:
    # Room for two sessions: the connection's own, and one with variables.
    yield from serve('--set', 'SESSIONS_LIMIT_EACH=2', 'streamable-http')


class Strange(BaseHTTPRequestHandler):
    """A foreign server: each path gives an answer that is not our server's."""

    answers = {  # noqa: RUF012
        '/html': (200, 'text/html', b'<p>hello</p>'),
        '/list': (200, 'application/json', b'[1]'),
        '/deep': (200, 'application/json', b'[' * 100_000),
        '/other': (200, 'application/json', b'{"jsonrpc":"2.0","id":1,"result":{"hello":1}}'),
        '/events': (200, 'text/event-stream', b'id: 1\r\ndata: \r\n\r\ndata: {"method": 1}\r\n\r\n'),
        '/down': (502, 'text/plain', b'down\x1b[2J'),
    }

    def do_POST(self) -> None:
        """Sends the answer for the path."""
        self.rfile.read(int(self.headers['content-length']))
        status, kind, body = self.answers.get(self.path, (404, 'text/plain', b''))
        self.send_response(status)
        self.send_header('content-type', kind)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture(scope='module')
def strange() -> Iterator[str]:
    with HTTPServer(('127.0.0.1', 0), Strange) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


async def test_a_session_ends_with_its_sandbox(few: str) -> None:
    for _ in range(3):
        async with code_sandbox(url=few, persistent=True) as sandbox:
            await sandbox.run('x = 1')
            assert await sandbox.eval('x') == {'status': 'success', 'output': [], 'return_value': 1}


async def test_has_the_same_objects(url: str) -> None:
    logs: list[tuple[str, str]] = []

    def log(level: str, text: str) -> None:
        logs.append((level, text))

    async with code_sandbox(url=url, token=TOKEN, log_handler=log) as sandbox:
        success = {'status': 'success', 'output': ['a'], 'return_value': 3}
        assert await sandbox.eval('print("a")\nx + 1', {'x': 2}) == success
        assert ('info', 'a') in logs
        result = await sandbox.run('open("out", "wb").write(open("in", "rb").read())', files={'in': b'\xff'})
        assert result.files[-1].content == b'\xff'
        assert (await sandbox.run('1 / 0')).status == 'run-error'
        events = [event async for event in sandbox.stream('import sys\nprint(1)\nprint(2, file=sys.stderr)')]
        assert events[:2] == [Output('stdout', '1'), Output('stderr', '2')]
        assert isinstance(events[2], Result)


async def test_a_persistent_one_keeps_variables(url: str) -> None:
    async with code_sandbox(url=url, token=TOKEN, persistent=True) as sandbox:
        await sandbox.run('x = 20')
        assert (await sandbox.run('x + 1')).unwrap() == 21


async def test_files_are_uploaded_to_a_persistent_one(url: str, tmp_path: Path) -> None:
    large = bytes(range(256)) * 40_000
    (tmp_path / 'large').write_bytes(large)
    async with code_sandbox(url=url, token=TOKEN, persistent=True) as sandbox:
        await sandbox.upload('d/ä b.bin', b'\xff')
        await sandbox.upload('large', tmp_path / 'large')
        await sandbox.upload('open', io.BytesIO(b'open'))
        code = (
            'import hashlib\n[hashlib.sha256(open(f, "rb").read()).hexdigest() for f in ("d/ä b.bin", "large", "open")]'
        )
        expected = [hashlib.sha256(content).hexdigest() for content in (b'\xff', large, b'open')]
        assert (await sandbox.run(code)).unwrap() == expected
        for path, why in [('../x', 'leads out of the folder'), ('d', 'a file or folder is in its way')]:
            with pytest.raises(SandboxError, match=f'{path} was not uploaded: .*{why}'):
                await sandbox.upload(path, b'')
        with pytest.raises(SandboxError, match='no room'):
            await sandbox.upload('endless', io.BytesIO(bytes(70_000_000)))
    async with code_sandbox(url=url, token=TOKEN) as sandbox:
        with pytest.raises(ValueError, match='persistent'):
            await sandbox.upload('a', b'')
    async with code_sandbox(persistent=True) as sandbox:
        with pytest.raises(SandboxError, match='`files`'):
            await sandbox.upload('a', b'')


async def test_a_run_is_cancelled_and_the_next_one_goes(url: str) -> None:
    async with code_sandbox(url=url, token=TOKEN) as sandbox:
        assert not await sandbox.cancel()
        with anyio.move_on_after(0.5) as late:
            await sandbox.run('while True: pass')
        assert late.cancelled_caught
        assert (await sandbox.run('1 + 1')).value == 2
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await anyio.sleep(0.3)
                assert await sandbox.cancel()

            tasks.start_soon(cancel)
            stopped = await sandbox.run('import time\ntime.sleep(30)')
        assert stopped.status == 'run-error'
        assert 'KeyboardInterrupt' in (stopped.error or '')
        assert (await sandbox.run('1 + 1')).value == 2


async def test_a_cancelled_session_goes_on(url: str) -> None:
    async with code_sandbox(url=url, token=TOKEN, persistent=True) as sandbox:
        await sandbox.run('x = 1')
        with anyio.move_on_after(0.5):
            await sandbox.run('import time\ntime.sleep(30)')
        assert (await sandbox.run('x')).value == 1


async def test_a_parallel_one_gives_each_an_interpreter(url: str) -> None:
    async with code_sandbox(url=url, token=TOKEN, parallel=3) as sandbox:
        values: list[object] = []

        async def run(n: int) -> None:
            values.append((await sandbox.run('open("f", "a").write(n)\nopen("f").read()', {'n': str(n)})).unwrap())

        async with anyio.create_task_group() as tasks:
            for n in range(5):
                tasks.start_soon(run, n)
        assert sorted(map(str, values)) == ['0', '1', '2', '3', '4']


async def test_without_sessions(stateless: str) -> None:
    async with code_sandbox(url=stateless) as sandbox:
        events = [event async for event in sandbox.stream('open("f", "w").close()\nprint(1)')]
        assert events[0] == Output('stdout', '1')
        assert (await sandbox.run('import os\nos.path.exists("f")')).value is False


async def test_a_wrong_token_and_none(url: str) -> None:
    with pytest.raises(SandboxError, match='refuses the token'):
        async with code_sandbox(url=url, token='wrong'):  # noqa: S106
            pass
    with pytest.raises(SandboxError, match='wants a token'):
        async with code_sandbox(url=url):
            pass


@pytest.mark.parametrize(
    ('place', 'why'),
    [
        ('http://127.0.0.1:9/mcp', 'cannot be reached: '),
        ('http://[::bad/mcp', 'cannot be reached: '),
        ('ftp://127.0.0.1/mcp', 'cannot be reached: '),
        ('/html', 'no MCP server: it answers with text/html'),
        ('/list', 'no MCP server: it said '),
        ('/deep', 'no MCP server: it said '),
        ('/other', 'no MCP server: its answer has no version'),
        ('/events', 'ended its response before the answer'),
        ('/missing', 'no MCP server: it answers 404'),
        ('/down', r"answers 502: 'down\\x1b\[2J'"),
    ],
)
async def test_what_is_no_server_is_told(strange: str, place: str, why: str) -> None:
    with pytest.raises(SandboxError, match=why):
        async with code_sandbox(url=f'{strange}{place}' if place.startswith('/') else place):
            pass


async def test_an_ended_session_is_told(url: str) -> None:
    import httpx

    async with code_sandbox(url=url, token=TOKEN) as sandbox:
        headers = {**sandbox._connection._session, 'authorization': f'Bearer {TOKEN}'}  # type: ignore[attr-defined]
        async with httpx.AsyncClient() as client:
            assert (await client.delete(url, headers=headers)).is_success
        with pytest.raises(SandboxError, match='has ended'):
            await sandbox.run('1')


async def test_options_that_exclude_each_other() -> None:
    for options in ({'url': 'http://x', 'time_limit': 1}, {'token': 'x'}, {'parallel': 2, 'persistent': True}):
        with pytest.raises(ValueError, match='`'):
            async with code_sandbox(**options):
                pass


def test_without_async(url: str) -> None:
    with CodeSandbox.sync(url=url, token=TOKEN) as sandbox:
        assert sandbox.run('6 * 7').value == 42
    with CodeSandbox.sync(url=url, token=TOKEN, persistent=True) as sandbox:
        sandbox.upload('a', b'b')
        assert sandbox.run('open("a").read()').value == 'b'
