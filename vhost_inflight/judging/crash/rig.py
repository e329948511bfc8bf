"""The processes of the crash test, and what they share: a driver, a front-end and a back-end that is killed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from refimpl.choices import Choices
from refimpl.errors import BackEndError, InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.memory import GuestRam
from refimpl.layout import region_at
from vhost_inflight.judging.crash.guest import SECTOR, CrashGuest, Record
from vhost_inflight.judging.crash.judge_packed import PackedCrashJudge
from vhost_inflight.judging.crash.judge_split import CrashJudge
from vhost_inflight.judging.crash.plan import Kill

__all__ = ["DRAIN", "LIFE", "Rig"]

LIFE = 0.4
"""Seconds after which a back-end that did not come to its step is killed from outside."""

DRAIN = 10.0
"""Seconds in which everything has to come back when there are no more crashes."""


class Rig:
    """The processes and what they share; closed at the end, whatever happens."""

    def __init__(self, folder: Path, choices: Choices, size: int, seed: int, *, scripted: bool = False) -> None:
        """Make the memory and start the driver, which makes what it likes or, ``scripted``, what `order` says."""
        self.choices, self.size, self.seed = choices, size, seed
        self.image, self.trace = folder / "image", folder / "trace"
        self.schedule, self.log = folder / "schedule.json", folder / "log"
        self.image.write_bytes(bytes(SECTOR * max(size, 8)))
        self.trace.touch()
        self.plan({"hold": size, "order": "shuffle", "idle": 0.002})
        self.packed = choices.ring == "packed"
        self.ram = GuestRam(1, size, SECTOR, packed=self.packed)
        self.front_end = FrontEnd(folder / "socket", self.ram, timeout=5.0)
        if self.packed and not scripted:  # a ring in use, so that a fresh region has more to be told
            self.front_end.bases = [self.ram.begin_at(size - 1, 0)]
        self.back_end: subprocess.Popen[bytes] | None = None
        self._read = 0
        context = multiprocessing.get_context("fork")  # so that the driver has the memory and the eventfds
        self.control, theirs = context.Pipe()
        kick, call = self.front_end.kicks[0], self.front_end.calls[0]
        arguments = (self.control, self.ram, (kick, call), self.image, theirs, None if scripted else seed)
        options = {"by_index": choices.event_kind == "index"}
        self.guest = context.Process(target=_guest, args=arguments, kwargs=options, daemon=True)
        self.guest.start()
        theirs.close()

    def __enter__(self) -> Self:
        """Return this rig, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes and close everything."""
        self.kill()
        with contextlib.suppress(OSError):
            self.control.send("stop")
        self.control.close()
        self.guest.join(5)
        if self.guest.is_alive():
            self.guest.kill()
            self.guest.join()
        self.guest.close()
        self.front_end.close()
        self.ram.close()

    def plan(self, content: dict[str, Any]) -> None:
        """Write what the next back-end holds back and finishes (see refimpl.backend.disk_queue.Schedule)."""
        self.schedule.write_text(json.dumps(content))

    def order(self, requests: list[tuple[int, int]]) -> None:
        """Let a scripted driver make these requests next: head, and elements of the ring that it takes."""
        self.control.send(requests)

    def region(self) -> Any:
        """Lay the queue's region over the shared buffer, as the front-end holds it."""
        assert self.front_end.inflight is not None
        return region_at(self.front_end.inflight.view(), self.choices.ring, self.choices.revision, self.size)

    def start(self, seed: int, kill: Kill | None) -> None:
        """Start a back-end, and come (back) to it; it may die meanwhile. Raises BackEndError if it gave up instead."""
        command = [sys.executable, "-m", "refimpl.backend.process", "--socket", str(self.front_end.path)]
        command += ["--image", str(self.image), "--revision", self.choices.revision, "--seed", str(seed)]
        command += ["--schedule", str(self.schedule), "--trace", str(self.trace)]
        command += ["--packed"] if self.packed else []
        defaults = Choices(revision=self.choices.revision, ring=self.choices.ring).to_mapping()
        for gap, choice in self.choices.to_mapping().items():
            command += [] if choice == defaults[gap] else ["--gap", f"{gap}={choice}"]
        if kill is not None and kill.step:
            command += ["--crash-at", kill.text()]
        with self.log.open("wb") as log:
            self.back_end = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
        first = self.front_end.inflight is None
        try:
            self.front_end.connect(again=not first)
            if not self.packed:  # of a packed ring nothing says where it is: the base is stale, as QEMU's is
                self.front_end.bases = [ring.used.idx for ring in self.ram.rings]
            self.front_end.start()
        except (InflightError, OSError) as error:
            if not self.wait(LIFE):
                raise BackEndError(f"{error}; it says: {self.said()}") from error

    def wait(self, seconds: float) -> bool:
        """Wait for the back-end's death; return whether it died. Raises BackEndError when it lives and gave up."""
        assert self.back_end is not None
        pid = os.pidfd_open(self.back_end.pid)
        try:
            poll = select.poll()
            poll.register(pid, select.POLLIN)
            died = bool(poll.poll(seconds * 1000))
        finally:
            os.close(pid)
        if died and self.back_end.wait() != -signal.SIGKILL:
            raise BackEndError(f"it ended by itself with {self.back_end.returncode}; it says: {self.said()}")
        if not died and self.front_end.connection is not None and self.front_end.lost() and not self.wait(LIFE):
            raise BackEndError(f"it closed the connection; it says: {self.said()}")
        return died or self.back_end.poll() is not None

    def kill(self) -> None:
        """Kill the back-end from outside, if it lives, and close the connection to it."""
        if self.back_end is not None:
            self.back_end.kill()
            self.back_end.wait()
        self.front_end.disconnect()

    def said(self) -> str:
        """Return the last line that the back-end said."""
        return (self.log.read_text("utf-8", "replace").strip().splitlines() or ["nothing"])[-1]

    def judge(self) -> CrashJudge:
        """Return a judge that has seen nothing yet."""
        if self.packed:
            return PackedCrashJudge(self.choices, self.ram.packed_rings[0], self.size)
        return CrashJudge(self.choices, self.ram.rings[0], self.size)

    def in_progress(self) -> int:
        """Return how much of a batch the next life has to settle; packed: 1, if there is anything."""
        region = self.region()
        if not region.version:
            return 0
        if self.packed:
            fields = ("free_head", "used_idx", "used_wrap_counter")
            return int(any(getattr(region, f"old_{name}") != getattr(region, name) for name in fields))
        return int(self.ram.rings[0].used.idx - region.used_idx) % 65536

    def record(self) -> Record:
        """Let the driver rest, and return what it did since it was asked last."""
        self.control.send("record")
        if not self.control.poll(DRAIN):
            raise BackEndError("the driver of the crash test does not answer")
        record: Record = self.control.recv()
        return record

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give the lines of the trace since the last time; of the process that died no more will come."""
        with self.trace.open("rb") as trace:
            trace.seek(self._read)
            for line in trace:
                yield json.loads(line)
            self._read = trace.tell()


def _guest(theirs: Connection, *arguments: Any, by_index: bool) -> None:
    """Run the driver in its process; the other end of the pipe is closed here, so that it is gone with its owner."""
    theirs.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted ends the driver too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    CrashGuest(*arguments, by_index=by_index).run()
