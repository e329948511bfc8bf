"""A back-end as a process: what the command line starts, and ``python -m refimpl.backend.process`` for tests.

It needs neither a solver nor a terminal library, so it starts quickly, as one that is killed often should.
"""

import argparse
import logging
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from refimpl import hooks
from refimpl.backend.device import Device
from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule, Trace
from refimpl.backend.memory import MEM_SLOTS
from refimpl.backend.server import Log, Server
from refimpl.choices import Choices, of_each_ring
from refimpl.errors import InflightError, UsageError
from refimpl.layout import STRIDES
from refimpl.wire.features import MORE_FEATURES

LOG_LEVELS = ("error", "info", "debug")
"""What is logged: what went wrong; what happened too; every message with its bytes too."""

QUEUES_MAX = 64
"""Most queues that a back-end can be given."""


MEM_SLOTS_MAX = 512
"""Most memory slots that a back-end can be told to have; QEMU has no more than 509."""


def log_to_stderr(line: str) -> None:
    """Print a line to standard error, at once."""
    print(f"back-end: {line}", file=sys.stderr, flush=True)


def run_backend(
    socket: Path,
    image: Path,
    *,
    queues: int = 1,
    choices: Choices | None = None,
    beside: Choices | None = None,
    crash_at: str | None = None,
    schedule: Path | None = None,
    trace: Path | None = None,
    seed: int = 0,
    log: Log = log_to_stderr,
    log_level: str = "error",
    dump: Path | None = None,
    mem_slots: int = MEM_SLOTS,
    stride: str = "64",
    offer: int = 0,
) -> None:
    """Serve ``image`` as a vhost-user-blk device at ``socket`` until SIGTERM or SIGINT.

    ``queues`` is 1 to 64; ``crash_at`` is ``STEP[:N]``: SIGKILL right after the Nth such step; ``schedule`` (see
    Schedule) fixes what is held back, ``seed`` what the schedule leaves to chance; ``trace`` is a file to append to
    (see Trace); ``log_level`` is one of LOG_LEVELS: what is told on standard error; ``dump`` is a folder, made if it is
    not there, for what the rings find when they start; ``mem_slots`` and ``stride`` as in Device;
    ``offer`` has more virtio features to offer, of MORE_FEATURES. With choices of the packed ring,
    packed rings are offered, and ``beside`` has those of the split ones. When a choice of a ring deviates from the
    default, the engine checks memory safety alone there, for the deviation to show what it leads to. Must be called in
    the main thread.

    Raises UsageError for an argument that is not allowed, InflightError for a missing image, a socket path that another
    back-end listens at or that is no socket, and a schedule or trace file of no use.
    """
    choices = choices or Choices()
    if log_level not in LOG_LEVELS:
        raise UsageError(f"there is no log level {log_level!r}; there are {', '.join(LOG_LEVELS)}")
    logging.basicConfig(level=log_level.upper(), stream=sys.stderr, format="back-end: %(message)s")
    if crash_at is not None and crash_at.startswith("packed.") and choices.ring == "split":
        raise UsageError(f"crash-at {crash_at}: packed rings are not offered")
    if not 1 <= queues <= QUEUES_MAX:
        raise UsageError(f"{queues} queues; there can be 1 to {QUEUES_MAX}")
    if not 0 <= mem_slots <= MEM_SLOTS_MAX:
        raise UsageError(f"{mem_slots} memory slots; there can be 0 to {MEM_SLOTS_MAX}")
    if stride not in STRIDES:
        raise UsageError(f"there is no stride {stride!r}; there are {', '.join(STRIDES)}")
    if offer & ~MORE_FEATURES:
        raise UsageError(f"features {offer & ~MORE_FEATURES:#x} cannot be offered besides; {MORE_FEATURES:#x} can")
    hook = hooks.crash_at(crash_at) if crash_at is not None else hooks.silent
    plan = Schedule.load(schedule) if schedule is not None else Schedule()
    if dump is not None:
        _make_folder(dump)
    with Disk(image, queues, offer) as disk, Trace(trace) as writer:
        device = Device(
            disk=disk,
            choices=choices,
            hook=hook,
            schedule=plan,
            trace=writer,
            rng=random.Random(seed),  # noqa: S311  # an order of completion, no secret
            beside=beside,
            loose=frozenset(each.ring for each in (choices, beside) if each is not None and _shows(each)),
            dump=dump,
            mem_slots=mem_slots,
            stride=stride,
        )
        with Server(socket, device, log) as server:
            _serve_until_signal(server)


def _shows(choices: Choices) -> bool:
    """Return whether a choice is to show what it leads to, so that rules which it breaks must not be checked.

    A packed region that is smaller than the ring breaks none, once requests wait for its entries.
    """
    kept = {"region-size"} if choices.ring == "packed" else set()
    return not choices.changed().keys() <= kept


def _make_folder(path: Path) -> None:
    """Make a folder, if it is not there. Raises InflightError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InflightError(f"dump {path}: {error.strerror}") from error


def _serve_until_signal(server: Server) -> None:
    """Serve until SIGTERM or SIGINT, and put back what these did before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, lambda _number, _frame: server.stop())
        server.serve()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parse_gaps(pairs: Sequence[str]) -> dict[str, str]:
    """Return {gap: choice} of ``GAP=CHOICE`` arguments. Raises UsageError for one without a ``=``."""
    gaps = {}
    for pair in pairs:
        gap, equals, choice = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r} is not GAP=CHOICE")
        gaps[gap] = choice
    return gaps


def read_bits(text: str) -> int:
    """Read feature bits: a number, in hexadecimal with 0x. Raises ValueError."""
    bits = int(text, 0)
    if bits < 0:
        raise ValueError(f"{text} is negative")
    return bits


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a back-end from command line arguments; return the exit status, 2 for anything it cannot start with."""
    parser = argparse.ArgumentParser(prog="python -m refimpl.backend.process", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--queues", type=int, default=1)
    parser.add_argument("--revision", default="merged")
    parser.add_argument("--gap", action="append", default=[], metavar="GAP=CHOICE")
    parser.add_argument("--crash-at", metavar="STEP[:N]")
    parser.add_argument("--schedule", type=Path)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log-level", default="error")
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--mem-slots", type=int, default=MEM_SLOTS)
    parser.add_argument("--stride", default="64")
    parser.add_argument("--offer", type=read_bits, default=0)
    given = parser.parse_args(arguments)
    try:
        each = of_each_ring(parse_gaps(given.gap), given.revision, packed=given.packed)
        run_backend(
            given.socket,
            given.image,
            queues=given.queues,
            choices=each.get("packed", each["split"]),
            beside=each["split"] if given.packed else None,
            crash_at=given.crash_at,
            schedule=given.schedule,
            trace=given.trace,
            seed=given.seed,
            log_level=given.log_level,
            dump=given.dump,
            mem_slots=given.mem_slots,
            stride=given.stride,
            offer=given.offer,
        )
    except InflightError as error:
        log_to_stderr(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
