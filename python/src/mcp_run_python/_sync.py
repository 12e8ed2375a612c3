"""The sandbox for programs without async."""

from __future__ import annotations

import queue
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._connection import Source
from .code_sandbox import CodeSandbox, Files
from .results import File, Output, Result, RunError, RunSuccess

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal


@dataclass
class SyncCodeSandbox:
    """A sandbox for programs without async, made by `CodeSandbox.sync()`. Its methods may be called from any thread."""

    _sandbox: CodeSandbox
    _portal: BlockingPortal

    @property
    def persistent(self) -> bool:
        """Whether variables are kept from one program to the next."""
        return self._sandbox.persistent

    def eval(self, code: str, globals: Mapping[str, Any] | None = None) -> RunSuccess | RunError:
        """Runs a program and returns its result as a dictionary. See `CodeSandbox.eval`."""
        return self.run(code, globals).as_dict()

    def run(self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None) -> Result:
        """Runs a program and returns its result; Ctrl-C stops the program. See `CodeSandbox.run`."""
        running = self._portal.start_task_soon(lambda: self._sandbox.run(code, globals, files=files))
        try:
            return running.result()
        finally:
            running.cancel()

    def upload(self, path: str, source: Source) -> None:
        """Uploads a file to the session of a persistent sandbox at a `url`. See `CodeSandbox.upload`."""
        uploading = self._portal.start_task_soon(self._sandbox.upload, path, source)
        try:
            uploading.result()
        finally:
            uploading.cancel()

    def stream(
        self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None
    ) -> Iterator[Output | Result]:
        """Runs a program and yields its lines of output, then its result. See `CodeSandbox.stream`."""
        events: queue.SimpleQueue[Output | Result | None] = queue.SimpleQueue()

        async def listen() -> None:
            try:
                async for event in self._sandbox.stream(code, globals, files=files):
                    events.put(event)
            finally:
                events.put(None)

        listening = self._portal.start_task_soon(listen)
        try:
            while (event := events.get()) is not None:
                yield event
            listening.result()
        finally:
            listening.cancel()

    def read(self, file: File) -> bytes:
        """Returns all bytes of a file of a result. See `CodeSandbox.read`."""
        return self._portal.call(self._sandbox.read, file)

    def cancel(self) -> bool:
        """Stops the programs that another thread runs; returns whether there were any. See `CodeSandbox.cancel`."""
        return self._portal.call(self._sandbox.cancel)

    def end_session(self) -> None:
        """Ends the session, with its variables and files. See `CodeSandbox.end_session`."""
        self._portal.call(self._sandbox.end_session)

    @contextmanager
    def session(self) -> Generator[SyncCodeSandbox, None, None]:
        """Opens a session within a parallel sandbox, and ends it after the body. See `CodeSandbox.session`."""
        with self._portal.wrap_async_context_manager(self._sandbox.session()) as sandbox:
            yield SyncCodeSandbox(sandbox, self._portal)
