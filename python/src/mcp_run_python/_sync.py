"""The sandbox for programs without async."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._connection import Source
from .code_sandbox import CodeSandbox, Files
from .results import File, Output, Result, RunError, RunSuccess

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal


@dataclass
class SyncCodeSandbox:
    """A sandbox for programs without async. Its methods may be called from any thread."""

    _sandbox: CodeSandbox
    _portal: BlockingPortal

    @property
    def persistent(self) -> bool:
        """Whether variables stay from one program to the next."""
        return self._sandbox.persistent

    def eval(self, code: str, globals: Mapping[str, Any] | None = None) -> RunSuccess | RunError:
        """See `CodeSandbox.eval`."""
        return self.run(code, globals).as_dict()

    def run(self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None) -> Result:
        """See `CodeSandbox.run`. Ctrl-C stops the program."""
        running = self._portal.start_task_soon(lambda: self._sandbox.run(code, globals, files=files))
        try:
            return running.result()
        finally:
            running.cancel()

    def upload(self, path: str, source: Source) -> None:
        """See `CodeSandbox.upload`."""
        uploading = self._portal.start_task_soon(self._sandbox.upload, path, source)
        try:
            uploading.result()
        finally:
            uploading.cancel()

    def stream(
        self, code: str, globals: Mapping[str, Any] | None = None, *, files: Files | None = None
    ) -> Iterator[Output | Result]:
        """See `CodeSandbox.stream`."""
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
        """See `CodeSandbox.read`."""
        return self._portal.call(self._sandbox.read, file)

    def cancel(self) -> bool:
        """See `CodeSandbox.cancel`. From another thread."""
        return self._portal.call(self._sandbox.cancel)

    def end_session(self) -> None:
        """See `CodeSandbox.end_session`."""
        self._portal.call(self._sandbox.end_session)
