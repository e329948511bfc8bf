"""An adapter as a process: a message in, a message out, each within a time limit; it may die, hang or talk nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Any, Final, Self

from refimpl.documents import DocumentError, read_json
from refimpl.errors import InflightError
from vhost_inflight.vectors import messages, text
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.messages import Answered, MessageError, Ready

__all__ = ["FORMS", "START_SECONDS", "Adapter", "AdapterError", "WedgedError"]

FORMS: Final = ("json", "text")
"""How messages are written: an object a line, or lines of words."""

START_SECONDS: float = 15
"""How long an adapter may take to start, even where answers have less: interpreters take their time."""

_SAID_MAX: Final = 64 << 20
_LAST_WORDS: Final = 4096
_PIECE: Final = 1 << 16


class AdapterError(InflightError):
    """The adapter cannot be asked at all: it is not there, does not start, or speaks another version."""


class WedgedError(Exception):
    """The adapter died, hung, or said what is no answer; it has been killed. The text says which."""


class Adapter:
    """One process of the adapter; `close` (or leaving the context) ends it, and all that it started."""

    def __init__(self, command: Sequence[str], form: str, limit: float) -> None:
        """Start it, and hear what it can be asked. Each answer has ``limit`` seconds. Raises AdapterError."""
        self._form = form
        self._limit = max(limit, START_SECONDS)
        self._said = bytearray()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        try:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            self._errors.close()
            raise AdapterError(f"{command[0]}: the adapter does not start: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)
        try:
            self.ready = self._start()
        except (WedgedError, MessageError) as error:
            self.close()
            raise AdapterError(f"{command[0]}: the adapter does not answer to start: {error}") from error
        except BaseException:
            self.close()
            raise
        self._limit = limit

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.close()

    def _start(self) -> Ready:
        if self._form == "json":
            return messages.read_ready(self._json(self._exchange(_line(messages.START))))
        return messages.read_ready(text.ready(self._exchange(text.START)))

    def run(self, vector: Vector) -> Answered:
        """Ask about a vector. Raises WedgedError; then this process is of no more use."""
        try:
            if self._form == "json":
                return messages.read_answer(self._json(self._exchange(_line(messages.run(vector)))), vector)
            return messages.read_answer(text.answer(self._exchange(text.run(vector)), vector), vector)
        except MessageError as error:
            self._kill()
            raise WedgedError(f"no answer: {error}") from error

    def stop(self) -> str | None:
        """Tell it to end; say what is wrong with how it ends, None if nothing is."""
        try:
            self._write((_line(messages.STOP) if self._form == "json" else text.STOP).encode())
            self._in.close()
            status = self._process.wait(self._limit)
        except WedgedError as error:
            return f"when told to stop: {error}"
        except subprocess.TimeoutExpired:
            self._kill()
            return f"it was told to stop, and did not end within {self._limit:g} seconds"
        return None if status == 0 else f"it was told to stop, and {_ended(status)}{self._last_words()}"

    def close(self) -> None:
        """End it and all that it started."""
        self._kill()
        for stream in (self._in, self._out, self._errors):
            stream.close()

    def _exchange(self, message: str) -> str:
        """Send a message, and give what is said to it."""
        self._write(message.encode(), whole=True)
        said = bytes(self._said)
        self._said.clear()
        try:
            return said.decode("ascii")
        except UnicodeDecodeError as error:
            raise MessageError(f"byte {error.start} of what it said is no ASCII") from error

    def _write(self, message: bytes, *, whole: bool = False) -> None:
        """Send a message, and read meanwhile; ``whole``: until an answer is there. Raises WedgedError."""
        end = time.monotonic() + self._limit
        left = memoryview(message)
        with selectors.DefaultSelector() as events:
            events.register(self._in, selectors.EVENT_WRITE)
            events.register(self._out, selectors.EVENT_READ)
            while left or (whole and not self._complete()):
                ready = events.select(max(0.0, end - time.monotonic()))
                if not ready and time.monotonic() >= end:
                    self._kill()
                    raise WedgedError(f"no answer within {self._limit:g} seconds{self._last_words()}")
                for key, _ in ready:
                    if key.fileobj is self._out:
                        self._read()
                        continue
                    try:
                        left = left[os.write(self._in.fileno(), left[:_PIECE]) :]
                    except BrokenPipeError:
                        left = left[:0]  # it reads no more; what it said may tell why
                    if not left:
                        events.unregister(self._in)

    def _complete(self) -> bool:
        """Whether a whole answer is there. Raises WedgedError where it is more than one."""
        said = self._said
        if self._form == "json":
            end = said.find(b"\n") + 1
        else:
            end = len(said) if said == b"end\n" or said.endswith(b"\nend\n") else 0
        if end and end < len(said):
            self._kill()
            raise WedgedError(f"it said {len(said) - end} bytes after its answer")
        return bool(end)

    def _read(self) -> None:
        piece = os.read(self._out.fileno(), _PIECE)
        if not piece:
            raise self._died()
        self._said += piece
        if len(self._said) > _SAID_MAX:
            self._kill()
            raise WedgedError(f"it said more than {_SAID_MAX >> 20} MiB")

    def _died(self) -> WedgedError:
        """Say how it ended, or that it closed its end and lives."""
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._kill()
            return WedgedError("it closed its input or its output, and lives")
        return WedgedError(f"it {_ended(status)}{self._last_words()}")

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _json(self, said: str) -> Any:
        try:
            return read_json(said.encode())
        except DocumentError as error:
            raise MessageError(f"{_shown(said)}: {error}") from error

    def _last_words(self) -> str:
        """Give what it wrote to standard error last."""
        length = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, length - _LAST_WORDS))
        lines = self._errors.read().decode(errors="replace").strip()
        return f"; it wrote to standard error:\n{lines}" if lines else ""


def _line(message: Any) -> str:
    return json.dumps(message, separators=(",", ":")) + "\n"


def _ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


def _shown(said: str) -> str:
    said = said.rstrip("\n")
    return repr(said if len(said) <= 60 else f"{said[:57]}...")
