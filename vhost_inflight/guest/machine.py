"""One virtual machine: QEMU with a vhost-user-blk device, its console, and its monitor."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from refimpl.errors import InflightError
from vhost_inflight.guest.prepare import Parts
from vhost_inflight.guest.qemu import program

__all__ = ["BOOT", "GuestError", "Machine"]

BOOT: Final = 120.0
"""Seconds in which a guest has to boot, however slow the emulation is."""

PACKED_BIT: Final = 34
"""The character of a virtio device's features in /sys that says that it uses the packed ring."""


class GuestError(InflightError):
    """The guest, or QEMU, did not do what it was told, or ended. The text has the end of the console."""


class Machine:
    """A guest whose disk comes from ``socket``; ended with the block.

    ``console`` has the lines that the guest said so far.
    """

    def __init__(
        self,
        parts: Parts,
        folder: Path,
        disk: Path,
        *,
        packed: bool = False,
        queues: int = 1,
        queue_size: int = 128,
        accelerator: str = "tcg",
        qemu: Path | None = None,
        incoming: Path | None = None,
    ) -> None:
        """Start QEMU, which waits for the back-end that listens at ``disk``; files of its own go to ``folder``.

        ``qemu`` is the program, the one that `program` finds, if left out. With ``incoming`` the guest does not boot,
        but comes from another machine, through that socket.
        """
        self.console: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        monitor = folder / "monitor"
        device = f"vhost-user-blk-pci,chardev=disk,disable-legacy=on,num-queues={queues},queue-size={queue_size}"
        command = [str(program(qemu)), "-machine", f"q35,accel={accelerator}", "-m", "256M", "-smp", str(queues)]
        command += ["-object", "memory-backend-memfd,id=ram,size=256M,share=on", "-numa", "node,memdev=ram"]
        command += ["-chardev", f"socket,id=disk,path={disk},reconnect=1"]
        command += ["-device", f"{device},packed={'on' if packed else 'off'}"]
        command += ["-kernel", str(parts.kernel), "-initrd", str(parts.initrd)]
        # no_timer_check: a kernel that is emulated on a busy machine finds that its timer does not work, and panics
        command += ["-append", "console=ttyS0 quiet panic=-1 no_timer_check"]
        command += ["-nodefaults", "-display", "none", "-no-user-config"]
        command += ["-serial", "stdio", "-qmp", f"unix:{monitor},server=on,wait=off", "-no-reboot"]
        command += ["-incoming", f"unix:{incoming}"] if incoming is not None else []
        with contextlib.ExitStack() as stack:
            self._errors = stack.enter_context((folder / "qemu.log").open("w+b"))
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0,
                process_group=0,  # Ctrl-C at a terminal does not reach it
            )  # fmt: skip
            stack.pop_all()  # it runs: the block that it is used in closes the file
        self._monitor = monitor
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        """Return this machine, to be ended at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End QEMU."""
        self.end()

    def end(self) -> None:
        """End QEMU. A second call does nothing."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def say(self, line: str) -> None:
        """Give the guest's console a line. Raises GuestError when QEMU is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{line}\n".encode())
        except OSError as error:
            raise self._error("QEMU is gone") from error

    def wait_for(self, start: str, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> str:
        """Wait for a line of the console that starts so, and return it; ``meanwhile`` is called again and again.

        Raises GuestError when it does not come in time, or QEMU ends.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            meanwhile()
            for line in self.lines():
                if line.startswith(start):
                    return line
            if self.process.poll() is not None:
                raise self._error(f"QEMU ended with {self.process.returncode}")
            time.sleep(0.005)
        raise self._error(f"{start} did not come within {seconds:.0f} seconds")

    def lines(self) -> Iterator[str]:
        """Give the lines that came since the last time."""
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                self.console.append(line)
                yield line

    def is_served(self) -> bool:
        """Return whether another process has the guest's memory mapped: a back-end that QEMU has told of it.

        QEMU is past its first messages then: 7.2 never speaks again after a death among those (docs/peers.md).
        """
        memory = next((_file(line) for line in _maps(self.process.pid) if b"memory-backend-memfd" in line), None)
        others = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return memory is not None and any(
            memory == _file(line) for pid in others if pid != self.process.pid for line in _maps(pid)
        )

    def booted(self, meanwhile: Callable[[], None] = lambda: None) -> str:
        """Wait until the guest has its disk, and return what it says of it."""
        return self.wait_for("DISK", BOOT, meanwhile)

    def monitor(self, command: str, **arguments: Any) -> Any:
        """Give QEMU's monitor a command, and return its answer. Raises GuestError when it refuses."""
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as stream:
            connection.connect(str(self._monitor))
            stream.readline()
            for each in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(each).encode() + b"\n")
                stream.flush()
                answer: dict[str, Any] = {}
                while not answer.keys() & {"return", "error"}:  # events come between
                    answer = json.loads(stream.readline())
                if "error" in answer:
                    raise self._error(f"QEMU refuses {each['execute']}: {answer['error']}")
            return answer["return"]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):  # it is closed while this waits
            for line in self.process.stdout:
                self._lines.put(line.decode("utf-8", "replace").strip())

    def _error(self, what: str) -> GuestError:
        list(self.lines())
        self._errors.seek(0)
        told = [*self.console[-5:], *self._errors.read().decode("utf-8", "replace").splitlines()[-3:]]
        return GuestError(f"{what}; the end of the console: {' | '.join(told) or 'nothing'}")


def _maps(pid: int) -> list[bytes]:
    """Return what a process has mapped, a line each; nothing of one that is gone, or may not be seen."""
    try:
        return Path(f"/proc/{pid}/maps").read_bytes().splitlines()
    except OSError:
        return []


def _file(line: bytes) -> list[bytes]:
    """Return the device and the number of the file that is mapped."""
    return line.split(None, 5)[3:5]


def is_packed(disk: str) -> bool:
    """Return whether the guest uses the packed ring, from what it says of its disk."""
    features = disk.rsplit(" ", 1)[-1]
    return len(features) > PACKED_BIT and features[PACKED_BIT] == "1"
