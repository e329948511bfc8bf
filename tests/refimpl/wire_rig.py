"""What the tests of the wire share: strategies for messages, a served back-end in a thread, and processes."""

import contextlib
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import strategies as st

from refimpl.backend.device import Device
from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule, Trace
from refimpl.backend.server import Server
from refimpl.choices import Choices
from refimpl.hooks import Hook, silent
from refimpl.wire.codec import KINDS, Message, Request
from refimpl.wire.payload import (
    NOTHING,
    ConfigSpace,
    Inflight,
    LogArea,
    MemoryRegion,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringAddress,
    VringFd,
    VringState,
)

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
U16 = st.integers(0, (1 << 16) - 1)
REGIONS = st.builds(MemoryRegion, U64, U64, U64, U64)

PAYLOADS: dict[type[Payload], st.SearchStrategy[Payload]] = {
    Payload: st.just(NOTHING),
    Number: st.builds(Number, U64),
    VringState: st.builds(VringState, U32, U32),
    VringAddress: st.builds(VringAddress, U32, U32, U64, U64, U64, U64),
    VringFd: st.builds(VringFd, st.integers(0, 255), st.booleans()),
    MemoryTable: st.builds(MemoryTable, st.lists(REGIONS, max_size=8).map(tuple)),
    SingleRegion: st.builds(SingleRegion, REGIONS),
    LogArea: st.builds(LogArea, U64, U64),
    ConfigSpace: st.builds(ConfigSpace, U32, U32, st.binary(max_size=256)),
    Inflight: st.builds(Inflight, U64, U64, U16, U16),
}


@st.composite
def messages(draw: st.DrawFn, *, replies: bool) -> Message:
    """Any message that one side may send."""
    request = draw(st.sampled_from(Request))
    kind = KINDS[request]
    if not replies:
        return Message(request, draw(PAYLOADS[kind.payload]), need_reply=draw(st.booleans()))
    payload = draw(PAYLOADS[kind.reply or Number])
    if kind.empty_reply and draw(st.booleans()):
        payload = NOTHING
    return Message(request, payload, reply=True)


def open_fds() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def make_image(directory: Path, sectors: int = 256) -> Path:
    """Make an empty disk."""
    image = directory / "image"
    image.write_bytes(bytes(512 * sectors))
    return image


def make_device(
    disk: Disk,
    choices: Choices | None = None,
    schedule: Schedule | None = None,
    generation: str = "drain",
    *,
    hook: Hook = silent,
    status: bool = False,
) -> Device:
    """Return a device on a disk, without trace."""
    choices = choices or Choices()
    return Device(
        disk=disk,
        choices=choices,
        hook=hook,
        schedule=schedule or Schedule(),
        trace=Trace(None),
        rng=random.Random(1),
        generation=generation,
        status=status,
    )


class Served:
    """A back-end that serves in a thread of this process: where, on which image, and what it logged."""

    def __init__(self, path: Path, image: Path) -> None:
        """Begin with an empty log."""
        self.path = path
        self.image = image
        self.log: list[str] = []


@contextlib.contextmanager
def serving(  # noqa: PLR0917  # a test names what it gives
    directory: Path,
    queues: int = 1,
    choices: Choices | None = None,
    schedule: Schedule | None = None,
    hook: Hook = silent,
    trace: Path | None = None,
    generation: str = "drain",
) -> Iterator[Served]:
    """Serve a fresh image in a thread until the end of the block."""
    served = Served(directory / "socket", make_image(directory))
    with Disk(served.image, queues) as disk, Trace(trace) as writer:
        device = Device(
            disk=disk,
            choices=choices or Choices(),
            hook=hook,
            schedule=schedule or Schedule(),
            trace=writer,
            rng=random.Random(1),
            generation=generation,
        )
        with Server(served.path, device, served.log.append) as server:
            thread = threading.Thread(target=server.serve)
            thread.start()
            try:
                yield served
            finally:
                server.stop()
                thread.join(20)
                assert not thread.is_alive()


def spawn(socket: Path, image: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a back-end as a process; what it says on standard error can be read."""
    command = [
        sys.executable,
        "-m",
        "refimpl.backend.process",
        "--socket",
        str(socket),
        "--image",
        str(image),
        *arguments,
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


Spawn = Callable[..., subprocess.Popen[str]]
"""Starts a back-end as a process, with these arguments."""


@contextlib.contextmanager
def spawning(directory: Path, *common: str) -> Iterator[Spawn]:
    """Give what starts back-ends on one fresh image; those that still run at the end have to end when told to."""
    image = make_image(directory)
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        started.append(spawn(directory / "socket", image, *common, *arguments))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                process.terminate()
                assert process.wait(20) == 0
            assert process.stderr is not None
            process.stderr.close()


@contextlib.contextmanager
def killed_and_next(directory: Path, *common: str) -> Iterator[Spawn]:
    """As ``spawning``; eight requests are held back, and finished from the last to the first, three at a time.

    A back-end that is to die at a step waits for all eight, however slow the driver is; any other finishes what there
    is after a moment.
    """
    plan = {"hold": 8, "order": "reverse", "batch": 3}
    for name, idle in (("patient", 3600.0), ("brisk", 0.1)):
        (directory / name).write_text(json.dumps({**plan, "idle": idle}))
    with spawning(directory, *common) as spawned:

        def start(*arguments: str) -> subprocess.Popen[str]:
            name = "patient" if "--crash-at" in arguments else "brisk"
            return spawned("--schedule", str(directory / name), *arguments)

        yield start
