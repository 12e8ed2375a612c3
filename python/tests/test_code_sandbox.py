"""The library against the real program."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import mcp_run_python
import pytest
from mcp_run_python import CodeSandbox, Output, ProgramError, Result, SandboxError, code_sandbox

pytestmark = pytest.mark.anyio


def test_the_command_is_a_function_too(capsys: pytest.CaptureFixture[str]) -> None:
    from mcp_run_python._cli import cli_logic  # pyright: ignore[reportPrivateUsage] - as the original's users have it

    assert cli_logic(['--version']) == 0
    assert capsys.readouterr().out == f'mcp-run-python {mcp_run_python.__version__}\n'
    assert cli_logic(['no-such-mode']) == 2


async def test_gives_the_originals_dictionaries() -> None:
    async with code_sandbox() as sandbox:
        assert await sandbox.eval('print("a")\nx + 1', {'x': 2}) == {
            'status': 'success',
            'output': ['a'],
            'return_value': 3,
        }
        failed = await sandbox.eval('1 / 0')
        assert failed['status'] == 'run-error'
        assert 'ZeroDivisionError' in failed['error']
        assert await sandbox.eval('"x" in globals()') == {'status': 'success', 'output': [], 'return_value': False}


@dataclass
class Point:
    """A dataclass, which becomes JSON by its fields."""

    a: int
    b: bytes


async def test_globals_are_what_the_originals_may_be() -> None:
    async with code_sandbox() as sandbox:
        given = {'f': [Point(1, b'x'), date(2025, 1, 2), {3}]}
        assert (await sandbox.run('f', given)).value == [{'a': 1, 'b': 'x'}, '2025-01-02', [3]]
        with anyio.fail_after(20):
            for wrong in (float('nan'), object(), b'\xff', '\ud800'):
                with pytest.raises((TypeError, ValueError)):
                    await sandbox.run('f', {'f': wrong})
            with pytest.raises(SandboxError):
                await sandbox.run('f', {'f': 'x' * (9 << 20)})
        assert (await sandbox.run('1')).value == 1


async def test_logs_come_as_they_are_written() -> None:
    logs: list[tuple[str, str]] = []
    async with code_sandbox(log_handler=lambda level, text: logs.append((level, text))) as sandbox:
        await sandbox.eval('import sys\nprint("out")\nprint("err", file=sys.stderr)')
    assert ('info', 'out') in logs
    assert ('warning', 'err') in logs


async def test_a_persistent_one_keeps_variables() -> None:
    async with code_sandbox(persistent=True) as sandbox:
        await sandbox.run('x = [1]')
        await sandbox.run('x.append(2)')
        assert (await sandbox.run('x')).unwrap() == [1, 2]
        await sandbox.end_session()
        assert (await sandbox.run('"x" in globals()')).unwrap() is False


async def test_files_go_in_and_come_out() -> None:
    async with code_sandbox() as sandbox:
        code = 'open("out é.txt", "w").write("text")\nlist(open("in/a.bin", "rb").read()), open("b.txt").read()'
        result = await sandbox.run(code, files={'in/a.bin': b'\x00\xff', 'b.txt': 'é'})
        assert result.unwrap() == [[0, 255], 'é']
        out = next(file for file in result.files if file.path == 'out é.txt')
        assert (out.change, out.size, out.content) == ('created', 4, b'text')


@pytest.mark.parametrize('parallel', [None, 2])
async def test_a_large_file_is_read_by_one_call(parallel: int | None) -> None:
    code = 'open("big é.bin", "wb").write(bytes(range(256)) * 20_000)\nopen("small", "w").write("x")'
    async with code_sandbox(parallel=parallel) as sandbox:
        big, small = (await sandbox.run(code)).files
        assert (big.path, big.content, small.content) == ('big é.bin', None, b'x')
        assert await sandbox.read(big) == bytes(range(256)) * 20_000
        assert await sandbox.read(small) == b'x'
        with pytest.raises(SandboxError, match='was changed'):
            await sandbox.read(dataclasses.replace(big, size=big.size - 1))
        with pytest.raises(SandboxError, match='nowhere'):
            await sandbox.read(dataclasses.replace(big, uri=None))
    with CodeSandbox.sync(parallel=parallel) as sandbox:
        (big, _) = sandbox.run(code).files
        assert sandbox.read(big) == bytes(range(256)) * 20_000


async def test_output_streams() -> None:
    async with code_sandbox() as sandbox:
        times: list[float] = []
        events: list[Output | Result] = []
        async for event in sandbox.stream('import time\nfor i in range(3):\n  print(i)\n  time.sleep(.2)\n"end"'):
            events.append(event)
            times.append(time.monotonic())
        assert events[:3] == [Output('stdout', str(i)) for i in range(3)]
        assert isinstance(events[3], Result)
        assert events[3].value == 'end'
        assert times[2] - times[0] > 0.2


async def test_all_lines_stream() -> None:
    async with code_sandbox() as sandbox:
        events = [event async for event in sandbox.stream('for i in range(5000): print(i)')]
        assert events[:-1] == [Output('stdout', str(i)) for i in range(5000)]


@pytest.mark.parametrize('parallel', [None, 2])
async def test_a_program_gets_all_of_a_result(parallel: int | None) -> None:
    async with code_sandbox(parallel=parallel) as sandbox:
        result = await sandbox.eval('for i in range(20_000): print("line", i)\n"v" * 100_000')
        assert result['status'] == 'success'
        assert (len(result['output']), result['return_value']) == (20_000, 'v' * 100_000)


async def test_whoever_stops_listening_stops_the_program() -> None:
    async with code_sandbox() as sandbox:
        stream = sandbox.stream('print(1)\nwhile True: pass')
        async for event in stream:
            assert event == Output('stdout', '1')
            break
        with anyio.fail_after(20):
            await stream.aclose()
            assert (await sandbox.run('1 + 1')).value == 2


async def test_what_is_refused_is_told_by_a_stream_too() -> None:
    async with code_sandbox() as sandbox:
        with pytest.raises(SandboxError, match='files'):
            async for _ in sandbox.stream('1', files={'../out': ''}):
                pass


async def test_a_parallel_one_runs_many_at_once_each_in_an_interpreter_of_its_own() -> None:
    logs: list[str] = []
    async with code_sandbox(parallel=3, log_handler=lambda _, text: logs.append(text)) as sandbox:
        code = 'import time\nopen("f", "a").write(n)\nprint(n)\nstart = time.time()\ntime.sleep(1)\n'
        code += '[open("f").read(), start, time.time()]'
        values: list[list[Any]] = []

        async def run(n: int) -> None:
            values.append((await sandbox.run(code, {'n': str(n)})).unwrap())  # type: ignore[arg-type]

        async with anyio.create_task_group() as tasks:
            for n in range(4):
                tasks.start_soon(run, n)
        assert sorted(value[0] for value in values) == ['0', '1', '2', '3']
        assert {'0', '1', '2', '3'} <= set(logs)
        together = [sum(start <= at < end for _, start, end in values) for _, at, _ in values]
        assert 1 < max(together) <= 3
        events = [event async for event in sandbox.stream('print(1)')]
        assert events[0] == Output('stdout', '1')


async def test_a_run_is_cancelled_and_the_next_one_goes() -> None:
    async with code_sandbox() as sandbox:
        with anyio.move_on_after(0.5) as late:
            await sandbox.run('while True: pass')
        assert late.cancelled_caught
        assert (await sandbox.run('1 + 1')).value == 2

        async def cancel() -> None:
            # Returns False until the run has begun.
            while not await sandbox.cancel():  # noqa: ASYNC110
                await anyio.sleep(0.1)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            stopped = await sandbox.run('import time\ntime.sleep(30)')
        assert stopped.error
        assert 'KeyboardInterrupt' in stopped.error


async def test_limits_and_settings() -> None:
    async with code_sandbox(time_limit=0.5, memory_limit_mb=100) as sandbox:
        with pytest.raises(ProgramError, match='TimeoutError'):
            (await sandbox.run('while True: pass')).unwrap()
        with pytest.raises(ProgramError, match='MemoryError'):
            (await sandbox.run('x = b"x" * (300 << 20)')).unwrap()
    with pytest.raises(SandboxError, match='there is no setting NO_SUCH'):
        async with code_sandbox(settings={'NO_SUCH': 1}):
            pass


async def test_what_cannot_be_installed_is_told_at_once() -> None:
    offline = {'PACKAGE_MIRRORS': 'http://127.0.0.1:9/', 'PACKAGE_INDEX': 'http://127.0.0.1:9/'}
    with pytest.raises((SandboxError, ProgramError), match='no-such-package'):
        async with code_sandbox(dependencies=['no-such-package'], settings=offline):
            pass


async def test_a_program_that_ends_its_interpreter_costs_only_that() -> None:
    async with code_sandbox() as sandbox:
        assert (await sandbox.run('import os\nos._exit(3)')).status == 'run-error'
        assert (await sandbox.run('1')).value == 1


async def test_networking_is_taken_and_warned_of_once() -> None:
    with pytest.warns(UserWarning, match='no network') as warned:
        async with code_sandbox(allow_networking=True) as sandbox:
            assert (await sandbox.run('1')).value == 1
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        async with code_sandbox(allow_networking=False):
            pass


def test_without_async() -> None:
    with CodeSandbox.sync(persistent=True) as sandbox:
        sandbox.run('x = 20')
        assert sandbox.eval('x + 1')['return_value'] == 21  # type: ignore[typeddict-item]
        sandbox.end_session()
        assert sandbox.run('"x" in globals()').value is False
        *lines, result = sandbox.stream('print(1)\nprint(2)\n3')
        assert lines == [Output('stdout', '1'), Output('stdout', '2')]
        assert isinstance(result, Result)
        assert result.value == 3
        for event in sandbox.stream('print(1)\nwhile True: pass'):
            assert event == Output('stdout', '1')
            break
        threading.Timer(0.5, sandbox.cancel).start()
        assert 'KeyboardInterrupt' in (sandbox.run('import time\ntime.sleep(30)').error or '')


def test_without_async_ctrl_c_stops_the_program() -> None:
    with CodeSandbox.sync() as sandbox:
        # To the process, as a terminal does it: the thread that waits gets it.
        threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            sandbox.run('while True: pass')
        assert time.monotonic() - start < 10
        assert sandbox.run('1').value == 1


async def test_public_names_are_the_originals() -> None:
    for name in ('__version__', 'prepare_deno_env', 'run_mcp_server', 'code_sandbox', 'async_prepare_deno_env'):
        assert name in mcp_run_python.__all__
        assert hasattr(mcp_run_python, name)
    with mcp_run_python.prepare_deno_env('stdio', dependencies=['numpy'], return_mode='json') as env:
        assert env.args[-1] == 'stdio'
        assert env.cwd.is_dir()
        assert env.command
    async with mcp_run_python.async_prepare_deno_env('streamable_http', http_port=1) as also:
        assert (also.command, also.args[-3:]) == (env.command, ['--port', '1', 'streamable-http'])
    wrong = mcp_run_python.prepare_deno_env('stdio', http_port=1)
    with pytest.raises(ValueError, match='Port is only supported'), wrong:
        pass


async def test_a_program_that_ends_by_itself_is_not_sent_a_signal(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        with pytest.raises(SandboxError, match='TIME_LIMIT_SECONDS is `0`'):
            async with code_sandbox(time_limit=0):
                pass
    # asyncio before Python 3.12 warns where it no longer knows the process.
    assert not caplog.messages


def test_importing_it_takes_little_more_than_anyio() -> None:
    others = {'importlib.metadata', 'email', 'anyio.from_thread', 'httpx'}
    code = f'import sys, mcp_run_python\nprint(*({others} & {{*sys.modules}}))'
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert said.stdout == '\n'
    assert mcp_run_python.__version__[0].isdigit()
    assert not hasattr(mcp_run_python, 'no_such_name')


def test_beside_the_original_it_says_so(tmp_path: Path) -> None:
    # The part of the original's installation that our package does not overwrite.
    about = tmp_path / 'mcp_run_python-0.0.22.dist-info'
    about.mkdir()
    (about / 'METADATA').write_text('Metadata-Version: 2.4\nName: mcp-run-python\nVersion: 0.0.22\n')
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get('PYTHONPATH')]))
    command = str(Path(sys.executable).with_name('mcp-python-sandbox'))
    for words in ([sys.executable, '-c', 'import mcp_run_python'], [command, '--version']):
        said = subprocess.run(words, env={**os.environ, 'PYTHONPATH': path}, capture_output=True, text=True)
        assert said.returncode == 1
        assert 'mcp-run-python 0.0.22 is installed beside mcp-python-sandbox' in said.stderr
    # The command says nothing else.
    assert said.stderr.startswith('mcp-run-python: error: ')
    assert said.stderr.count('\n') == 1


def test_the_command_line() -> None:
    said = subprocess.run([sys.executable, '-m', 'mcp_run_python', '--version'], capture_output=True, text=True)
    assert said.stdout.startswith('mcp-run-python ')
