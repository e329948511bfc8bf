"""An adapter as a process: a message in, a message out, each within a time limit; it may die, hang or talk nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import IO, Any, Final, Self

from refimpl.documents import DocumentError, read_json
from refimpl.errors import InflightError
from vhost_inflight.telling import printable
from vhost_inflight.vectors import messages, text
from vhost_inflight.vectors.checking.words import Tail
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.messages import Answered, MessageError, Ready

__all__ = ["FORMS", "START_SECONDS", "Adapter", "AdapterError", "WedgedError"]

FORMS: Final = ("json", "text")
"""How messages are written: an object a line, or lines of words."""

START_SECONDS: float = 15
"""How long an adapter may take to start, even where answers have less: interpreters take their time."""

_SAID_MAX: Final = 64 << 20
_PIECE: Final = 1 << 16
_PIECES: Final = 16  # as many as the largest pipe holds that everybody may make


class AdapterError(InflightError):
    """The adapter cannot be asked at all: it is not there, does not start, or speaks another version.

    ``why`` says it in a line; the text has what it wrote to standard error besides.
    """

    def __init__(self, why: str, *words: str) -> None:
        """Take what is wrong, and the last lines that it wrote to standard error."""
        super().__init__("\n  ".join(_told(why, words)))
        self.why = why


class WedgedError(Exception):
    """The adapter died, hung, or said what is no answer; it has been killed.

    ``why`` says which in a line, ``words`` are the last lines that it wrote to standard error; ``lines`` have both.
    """

    def __init__(self, why: str, *words: str) -> None:
        """Take both."""
        self.why, self.words = why, words
        self.lines = _told(why, words)
        super().__init__("\n  ".join(self.lines))


class Adapter:
    """One process of the adapter; `close` (or leaving the context) ends it, and all that it started."""

    def __init__(self, command: Sequence[str], form: str, limit: float) -> None:
        """Start it, and hear what it can be asked. Each answer has ``limit`` seconds. Raises AdapterError."""
        self._form = form
        self._limit = max(limit, START_SECONDS)
        self._said, self._errors = bytearray(), Tail()
        self._left = memoryview(b"")
        self._last = self._over = self._ended = False
        with contextlib.ExitStack() as opened:
            try:
                self._begin(command, opened)
                self.ready = self._start()
            except OSError as error:
                raise AdapterError(f"{command[0]}: the adapter does not start: {error.strerror}") from error
            except WedgedError as error:
                told = f"{command[0]}: the adapter does not answer to start: {error.why}"
                raise AdapterError(told, *error.words) from error
            self._opened = opened.pop_all()
        self._limit = limit

    def _begin(self, command: Sequence[str], opened: contextlib.ExitStack) -> None:
        """Start the process; ``opened`` ends it. Whatever happens to it wakes who waits for the next event."""
        self._events = opened.enter_context(selectors.DefaultSelector())
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, bufsize=0,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in, self._out, self._err = self._process.stdin, self._process.stdout, self._process.stderr
        for stream in (self._in, self._out, self._err):
            opened.callback(stream.close)
            os.set_blocking(stream.fileno(), False)
        opened.callback(self._kill)
        self._pidfd = os.pidfd_open(self._process.pid)
        opened.callback(os.close, self._pidfd)
        self._events.register(self._out, selectors.EVENT_READ, self._read)
        self._events.register(self._err, selectors.EVENT_READ, self._hear)
        self._events.register(self._pidfd, selectors.EVENT_READ, self._see_end)

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.close()

    def _start(self) -> Ready:
        try:
            if self._form == "json":
                said = self._json(self._exchange(_line(messages.START)))
            else:
                said = text.ready(self._exchange(text.START))
            ready = messages.read_ready(said)
        except MessageError as error:
            raise WedgedError(printable(str(error))) from error
        return replace(ready, name=printable(ready.name))

    def run(self, vector: Vector) -> Answered:
        """Ask about a vector. Raises WedgedError; then this process is of no more use."""
        try:
            if self._form == "json":
                return messages.read_answer(self._json(self._exchange(_line(messages.run(vector)))), vector)
            return messages.read_answer(text.answer(self._exchange(text.run(vector)), vector), vector)
        except MessageError as error:
            self._kill()
            raise WedgedError(f"no answer: {printable(str(error))}") from error

    def stop(self) -> str | None:
        """Tell it to end; say what is wrong with how it ends, None if nothing is."""
        self._last = True
        self._send(_line(messages.STOP) if self._form == "json" else text.STOP)
        try:
            if not self._ends_within(self._limit):
                self._kill()
                return f"it was told to stop, and did not end within {self._limit:g} seconds"
        except WedgedError as error:
            return f"when told to stop: {error}"
        self._kill()
        if self._process.returncode == 0:
            return None
        return f"it was told to stop, and {WedgedError(_ended(self._process.returncode), *self._errors.lines())}"

    def close(self) -> None:
        """End it and all that it started."""
        self._opened.close()

    def _exchange(self, message: str) -> str:
        """Send a message, and give what is said to it. Raises WedgedError."""
        self._send(message)
        end = time.monotonic() + self._limit
        while self._left or not self._complete():
            if self._over:
                raise self._died()
            if time.monotonic() >= end:
                self._kill()
                raise WedgedError(f"no answer within {self._limit:g} seconds", *self._errors.lines())
            self._turn(end)
        said = bytes(self._said)
        self._said.clear()
        try:
            return said.decode("ascii")
        except UnicodeDecodeError as error:
            raise MessageError(f"byte {error.start} of what it said is no ASCII") from error

    def _send(self, message: str) -> None:
        """Let this be written in the next turns."""
        self._left = memoryview(message.encode())
        self._forget(self._in)
        self._events.register(self._in, selectors.EVENT_WRITE, self._write)

    def _forget(self, file: IO[bytes] | int) -> None:
        """Wait for nothing of a file any more."""
        if self._waits_for(file):
            self._events.unregister(file)

    def _waits_for(self, file: IO[bytes] | int) -> bool:
        return any(file in (key.fileobj, key.fd) for key in self._events.get_map().values())

    def _turn(self, end: float) -> None:
        """Do what can be done: write, read, see that it ended; wait for that up to a time. Raises WedgedError."""
        for key, _ in self._events.select(max(0.0, end - time.monotonic())):
            key.data()

    def _ends_within(self, seconds: float) -> bool:
        """Wait for its end, and hear its last words meanwhile; say whether it came. Raises WedgedError."""
        end = time.monotonic() + seconds
        while not self._ended and time.monotonic() < end:
            self._turn(end)
        return self._ended

    def _write(self) -> None:
        try:
            self._left = self._left[os.write(self._in.fileno(), self._left[:_PIECE]) :]
        except BrokenPipeError:
            self._left = self._left[:0]  # it reads no more; what it said may tell why
        if not self._left:
            self._forget(self._in)
            if self._last:
                self._in.close()

    def _read(self) -> bool:
        """Read what it says; return whether there may be more. Raises WedgedError where it is too much."""
        piece = self._piece(self._out)
        if piece == b"":
            self._over = True
        self._said += piece or b""
        if len(self._said) > _SAID_MAX:
            self._kill()
            raise WedgedError(f"it said more than {_SAID_MAX >> 20} MiB")
        return bool(piece)

    def _hear(self) -> bool:
        """Read what it writes to standard error; return whether there may be more."""
        piece = self._piece(self._err)
        self._errors.add(piece or b"")
        return bool(piece)

    def _piece(self, pipe: IO[bytes]) -> bytes | None:
        """Read from a pipe, which is left alone from its end (no bytes) on. None: there is nothing now."""
        try:
            piece = os.read(pipe.fileno(), _PIECE)
        except BlockingIOError:
            return None
        if not piece:
            self._forget(pipe)
        return piece

    def _see_end(self) -> None:
        """Read what is left of a process that ended: somebody else may hold its pipes open, and even write to them."""
        for file in (self._pidfd, self._in):
            self._forget(file)
        self._over = self._ended = True
        self._left = self._left[:0]
        for pipe, read in ((self._out, self._read), (self._err, self._hear)):
            for _ in range(_PIECES):
                if not self._waits_for(pipe) or not read():
                    break

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

    def _died(self) -> WedgedError:
        """Say how it ended, or that it closed its end and lives."""
        ended = self._ends_within(1)
        self._kill()
        if not ended:
            return WedgedError("it closed its input or its output, and lives")
        return WedgedError(f"it {_ended(self._process.returncode)}", *self._errors.lines())

    def _kill(self) -> None:
        """End the group, if its first process was not waited for: its number is nobody else's until then."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _json(self, said: str) -> Any:
        try:
            return read_json(said.encode())
        except DocumentError as error:
            raise MessageError(f"{_shown(said)}: {error}") from error


def _told(why: str, words: Sequence[str]) -> tuple[str, ...]:
    return (f"{why}; it wrote to standard error:" if words else why, *words)


def _line(message: Any) -> str:
    return json.dumps(message, separators=(",", ":")) + "\n"


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:  # most of the real-time ones have no name
        return f"was ended by signal {-status}"


def _shown(said: str) -> str:
    said = said.rstrip("\n")
    return repr(said if len(said) <= 60 else f"{said[:57]}...")
