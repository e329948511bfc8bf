"""Somebody's back-end as a process: started by a command, in a group of its own, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from refimpl.backend.process import main
from refimpl.errors import InflightError, UsageError
from vhost_inflight.forked import fork, held_signals
from vhost_inflight.telling import printable

__all__ = ["Command", "Process", "had_time", "listening", "resting", "served_by", "threads_of", "wants_to_run"]

_LAST_WORDS: Final = 2000
_GOES: Final = 5.0
"""Seconds that the system takes at most for a process that was killed."""

_WRITE_ANEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)  # and no program expects them to be


class Command:
    """How to start a back-end: words, in which ``{socket}`` and ``{image}`` stand for the two paths."""

    def __init__(self, text: str) -> None:
        """Read a command as a shell would cut it into words; no shell runs it. Raises UsageError."""
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"the command cannot be read: {error}") from error
        for name in ("{socket}", "{image}"):
            if not any(name in word for word in self.words):
                raise UsageError(f"the command has no {name}: it stands for the path that is to be served or used")
        self.text = text

    def at(self, path: Path, image: Path) -> list[str]:
        """Give the words for a socket and an image."""
        return [word.replace("{socket}", str(path)).replace("{image}", str(image)) for word in self.words]


def _spawned(words: Sequence[str], log: Path) -> int:
    """Start a program in a group of its own, and give its process."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), _WRITE_ANEW, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(
        words[0], list(words), os.environ, file_actions=actions, setpgroup=0, setsigdef=_IGNORED_BY_PYTHON
    )


def _is_ours(words: Sequence[str]) -> bool:
    """Return whether a command starts our own back-end by the interpreter that runs."""
    return list(words[:3]) == [sys.executable, "-m", "refimpl.backend.process"]


def _forked(words: Sequence[str], log: Path) -> int:
    """Fork this process, which has all that our own back-end needs: it starts ten times as fast so."""
    with log.open("wb") as said:
        return fork(lambda: main(words[3:]), said.fileno())


class Process:
    """One process of it. ``pid`` is the one that was started; which of its children serves is for `served_by`.

    Where nobody may connect, that is for `listening`, and `serves` tells it here.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        """Start it; what it says goes to ``log``. Raises InflightError where it cannot be started."""
        try:
            with held_signals():
                self.pid = _forked(words, log) if _is_ours(words) else _spawned(words, log)
        except OSError as error:
            raise InflightError(f"{words[0]}: the back-end does not start: {error.strerror}") from error
        self.log = log
        self.status: int | None = None
        self.ended_fd = os.pidfd_open(self.pid)
        self._serves_fd = -1

    def serves(self, pid: int) -> None:
        """Take a process for the one that serves, where another one was started: they end together."""
        if pid != self.pid:
            with contextlib.suppress(ProcessLookupError):  # so has the one that was started, or it will tell
                self._serves_fd = os.pidfd_open(pid)

    def ended(self, seconds: float = 0.0) -> bool:
        """Wait until it has ended, as long as that; return whether it has. It need not have been waited for."""
        return _one_ended([fd for fd in (self.ended_fd, self._serves_fd) if fd >= 0], seconds)

    def started_ended(self, seconds: float) -> bool:
        """Likewise, of the one that was started alone."""
        return self.ended_fd < 0 or _one_ended([self.ended_fd], seconds)

    def close(self) -> None:
        """Kill it with all of its group, and forget it. A second call does nothing."""
        if self.ended_fd < 0:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        if self._serves_fd >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it may be in another group
                signal.pidfd_send_signal(self._serves_fd, signal.SIGKILL)
            _one_ended([self._serves_fd], _GOES)
            os.close(self._serves_fd)
            self._serves_fd = -1
        with contextlib.suppress(ChildProcessError):  # a tracer may have taken its status
            _, self.status = os.waitpid(self.pid, 0)
        os.close(self.ended_fd)
        self.ended_fd = -1

    def how(self) -> str:
        """Say how it ended by itself."""
        if self.status is None:
            return "ended"
        if os.WIFSIGNALED(self.status):
            return f"was ended by {signal.Signals(os.WTERMSIG(self.status)).name}"
        return f"ended with exit status {os.waitstatus_to_exitcode(self.status)}"

    def said(self) -> str:
        """Return the last line that it said, "" if there is none; as it can be shown: no terminal obeys it."""
        with contextlib.suppress(OSError):
            said = self.log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()
            return printable(said.rpartition("\n")[2].strip())
        return ""


def _one_ended(pidfds: Sequence[int], seconds: float) -> bool:
    poll = select.poll()
    for fd in pidfds:
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def served_by(connection: int) -> int:
    """Return the process that listens at the other end of a connection. Raises UsageError where it cannot be seen."""
    with socket.socket(fileno=os.dup(connection)) as sock:
        told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid: int = struct.unpack("iII", told)[0]
    if not pid:
        raise UsageError("what serves cannot be seen from here: it is in a container; run this in there, too")
    return pid


def listening(path: Path, pid: int) -> int | None:
    """Return the process that has the socket at a path, where nobody may connect to ask: ``pid``, or the eldest other.

    None, where no process that is seen from here has it. ``pid`` was started; /proc is of its network's sockets.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/net/unix").read_text(errors="surrogateescape").splitlines()[1:]
        told = [line.split(maxsplit=7) for line in lines]
        links = {f"socket:[{words[6]}]" for words in told if words[7:] == [str(path)]}
        found = [int(name) for name in os.listdir("/proc") if name.isdecimal() and _has_one(name, links)]  # noqa: PTH208
        return pid if pid in found else min(found, key=_began, default=None)
    return None


def _has_one(pid: str, links: Collection[str]) -> bool:
    """Return whether a process has one of these files open; of somebody else's it is not known."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return any(_link(file) in links for file in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _link(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):  # closed meanwhile
        return str(file.readlink())
    return ""


def _began(pid: int) -> int:
    """Return when a process began, in ticks; later than any, where it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[19])
    return sys.maxsize


def resting(pid: int) -> bool:
    """Return whether each thread of a process sleeps: none runs, waits for a disk, is traced to a stop, or is gone."""
    return set(_states(pid)) == {"S"}


def wants_to_run(pid: int) -> bool:
    """Return whether a thread runs, would if there were a processor for it, waits for a disk, or is at a store."""
    return not {"R", "D", "t"}.isdisjoint(_states(pid))


def had_time(pid: int) -> float:
    """Return how many seconds of a processor a process has had; none, where it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        told = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def threads_of(pid: int) -> set[int]:
    """Return the threads of a process. Raises FileNotFoundError or ProcessLookupError where it is gone."""
    return {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()}


def _states(pid: int) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in threads_of(pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                told = Path(f"/proc/{pid}/task/{thread}/stat").read_bytes()
                yield chr(told.rpartition(b") ")[2][0])
