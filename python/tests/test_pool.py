"""Several servers as one sandbox, against the real program."""

import os
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp_run_python import CodeSandbox, Output, ProgramError, Result, SandboxError, code_sandbox
from test_remote import serve

pytestmark = pytest.mark.anyio


def programs() -> set[int]:
    """Returns the process ids of the programs that this process has started."""
    found: set[int] = set()
    for status in Path('/proc').glob('[0-9]*/stat'):
        try:
            name, _, rest = status.read_text().partition(') ')
            word = status.with_name('cmdline').read_bytes()
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state != 'Z' and b'mcp-run-python' in word:
            found.add(int(name.split()[0]))
    return found


async def all_of(sandbox: CodeSandbox, codes: list[str]) -> list[Any]:
    """Runs the programs at once and returns the value or the error of each."""
    values: list[Any] = [None] * len(codes)

    async def run(i: int) -> None:
        try:
            values[i] = (await sandbox.run(codes[i])).unwrap()
        except (ProgramError, SandboxError) as error:
            values[i] = error

    async with anyio.create_task_group() as tasks:
        for i in range(len(codes)):
            tasks.start_soon(run, i)
    return values


async def test_each_run_goes_to_a_free_one_and_nothing_stays() -> None:
    async with code_sandbox(processes=2) as sandbox:
        assert len(programs()) == 2
        code = 'import time\nopen("f", "a").write("x")\nstart = time.time()\ntime.sleep(1)\n'
        code += '[open("f").read(), start, time.time()]'
        values = await all_of(sandbox, [code] * 4)
        assert [value[0] for value in values] == ['x'] * 4
        together = [sum(start <= at < end for _, start, end in values) for _, at, _ in values]
        assert max(together) == 2
        events = [event async for event in sandbox.stream('print(1)')]
        assert events[0] == Output('stdout', '1')
    assert not programs()


async def test_a_large_file_is_read_from_whichever_has_it() -> None:
    async with code_sandbox(processes=2) as sandbox:
        code = 'import time\nopen("large.bin", "wb").write(bytes([{}]) * 1_000_000)\ntime.sleep(1)'
        results: list[Result] = []

        async def run(byte: int) -> None:
            results.append(await sandbox.run(code.format(byte)))

        async with anyio.create_task_group() as tasks:
            for byte in (1, 2):
                tasks.start_soon(run, byte)
        found = {await sandbox.read(result.files[0]) for result in results}
        assert found == {bytes([1]) * 1_000_000, bytes([2]) * 1_000_000}


async def test_one_that_dies_is_replaced_and_its_run_says_so() -> None:
    async with code_sandbox(processes=2, parallel=4) as sandbox:
        before = programs()
        killed = min(before)

        async def kill() -> None:
            await anyio.sleep(1.5)
            os.kill(killed, signal.SIGKILL)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            values = await all_of(sandbox, ['import time\ntime.sleep(4)\n7'] * 4)
        failed = [value for value in values if isinstance(value, SandboxError)]
        assert [str(error).partition(':')[0] for error in failed] == [
            'the server that ran this has ended, and another takes its place'
        ] * 2
        assert [value for value in values if not isinstance(value, SandboxError)] == [7, 7]
        assert await all_of(sandbox, ['1 + 1'] * 8) == [2] * 8
        with anyio.fail_after(20):
            while len(programs()) < 2:  # noqa: ASYNC110
                await anyio.sleep(0.1)
        assert killed not in programs()


async def test_a_session_stays_where_it_is_and_ends_with_its_server() -> None:
    async with code_sandbox(processes=2) as sandbox, sandbox.session() as one:
        # While its server runs this, the other one is less busy.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run, 'import time\nx = 1\ntime.sleep(2)')
            await anyio.sleep(1)
            async with sandbox.session() as other:
                await other.run('x = 2')
                await sandbox.run('x = 3')
                assert (await one.run('x')).unwrap() == 1
                assert (await other.run('x += 1\nx')).unwrap() == 3
                for program in programs():
                    os.kill(program, signal.SIGKILL)
                with pytest.raises(SandboxError, match='had this session has ended'):
                    await other.run('x')
        with pytest.raises(SandboxError, match='had this session has ended'):
            await one.run('x')
        with anyio.fail_after(20):
            assert (await sandbox.run('"x" in globals()')).unwrap() is False


async def test_whoever_is_cancelled_leaves_nothing_behind() -> None:
    with anyio.move_on_after(2.5) as late:
        async with code_sandbox(processes=2) as sandbox:
            await all_of(sandbox, ['while True: pass'] * 3)
    assert late.cancelled_caught
    assert not programs()


async def test_all_runs_are_stopped_by_cancel() -> None:
    async with code_sandbox(processes=2) as sandbox, anyio.create_task_group() as tasks:

        async def cancel() -> None:
            while True:
                await anyio.sleep(0.3)
                await sandbox.cancel()

        tasks.start_soon(cancel)
        with anyio.fail_after(25):
            values = await all_of(sandbox, ['import time\ntime.sleep(30)'] * 2)
        tasks.cancel_scope.cancel()
        assert all(isinstance(value, ProgramError) and 'KeyboardInterrupt' in str(value) for value in values)


async def test_one_that_cannot_be_started_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with code_sandbox(processes=1) as sandbox:
        assert (await sandbox.run('1')).unwrap() == 1
        # The replacement cannot start: it does not find its files.
        monkeypatch.setenv('MCP_RUN_PYTHON_HOME', '/nowhere')
        for program in programs():
            os.kill(program, signal.SIGKILL)
        last = ''
        with anyio.fail_after(20):
            while 'no server is left' not in last:
                [error] = await all_of(sandbox, ['1'])
                last = str(error)
        monkeypatch.undo()
        with anyio.fail_after(20):
            while (await all_of(sandbox, ['1'])) != [1]:  # noqa: ASYNC110
                await anyio.sleep(0.2)


async def test_servers_elsewhere_stand_in_for_each_other() -> None:
    first, second = serve('streamable-http'), serve('streamable-http')
    urls = [next(first), next(second)]
    async with code_sandbox(url=urls, parallel=4) as sandbox:
        assert await all_of(sandbox, ['1 + 1'] * 6) == [2] * 6
        # Ends the first server.
        next(first, None)
        values = await all_of(sandbox, ['1 + 1'] * 4)
        assert {str(value).partition(':')[0] for value in values} <= {
            '2',
            'the server that ran this has ended, and another takes its place',
        }
        assert 2 in values
        assert await all_of(sandbox, ['1 + 1'] * 6) == [2] * 6
    next(second, None)


async def test_what_makes_no_sense_is_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {'processes': 0},
        {'processes': 33},
        {'url': []},
        {'processes': 2, 'url': 'http://127.0.0.1:9/mcp'},
        {'processes': 2, 'persistent': True},
        {'processes': 2, 'parallel': 65},
    ]
    for options in wrong:
        with pytest.raises(ValueError, match='`p'):
            async with code_sandbox(**options):
                pass
    with pytest.raises(SandboxError, match='cannot be reached'):
        async with code_sandbox(url=['http://127.0.0.1:9/mcp']):
            pass
    async with code_sandbox() as sandbox:
        with pytest.raises(ValueError, match='parallel'):
            async with sandbox.session():
                pass


def test_without_async() -> None:
    with CodeSandbox.sync(processes=2) as sandbox, sandbox.session() as session:
        session.run('x = 20')
        assert session.run('x + 1').unwrap() == 21
        assert sandbox.run('"x" in globals()').unwrap() is False
