"""A back-end as a process: what the command line starts, and ``python -m refimpl.backend.process`` for tests.

It needs neither a solver nor a terminal library, so it starts quickly, as one that is killed often should.
"""

import argparse
import logging
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from refimpl import hooks
from refimpl.backend.device import Device
from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule, Trace
from refimpl.backend.memory import MEM_SLOTS
from refimpl.backend.reins import Reins
from refimpl.backend.server import Log, Server
from refimpl.choices import RINGS, Choices, of_each_ring, parse_gaps
from refimpl.errors import InflightError, UsageError
from refimpl.layout import STRIDES
from refimpl.names import counted, no_such
from refimpl.wire.features import GENERATIONS, MORE_FEATURES

_LOG = logging.getLogger(__name__)

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
    schedule: Schedule | None = None,
    trace: Path | None = None,
    seed: int = 0,
    log: Log = log_to_stderr,
    log_level: str = "error",
    dump: Path | None = None,
    mem_slots: int = MEM_SLOTS,
    stride: str = "64",
    offer: int = 0,
    generation: str = "drain",
    status: bool = False,
    reins: Reins | None = None,
) -> None:
    """Serve ``image`` as a vhost-user-blk device at ``socket`` until SIGTERM or SIGINT.

    ``queues`` is 1 to 64; ``crash_at`` is ``STEP[:N]``: SIGKILL right after the Nth such step; ``schedule`` (see
    Schedule) fixes what is held back, ``seed`` what the schedule leaves to chance; ``trace`` is a file to append to
    (see Trace); ``log_level`` is one of LOG_LEVELS: what is told on standard error; ``dump`` is a folder, made if it is
    not there, for what the rings find when they start; ``mem_slots`` and ``stride`` as in Device;
    ``offer`` has more virtio features to offer, of MORE_FEATURES; ``generation`` is one of GENERATIONS; ``status`` as
    in Device. With choices of the packed ring, packed rings are offered, and ``beside`` has those of the split ones.
    When a choice of a ring deviates from the default, the engine checks memory safety alone there, for the deviation to
    show what it leads to. Must be called in the main thread.

    Raises UsageError for an argument that is not allowed, InflightError for a missing image, a socket path that another
    back-end listens at or that is no socket, and a schedule or trace file of no use.
    """
    choices = choices or Choices()
    for what, name, names in (
        ("log level", log_level, LOG_LEVELS),
        ("stride", stride, tuple(STRIDES)),
        ("generation", generation, tuple(GENERATIONS)),
    ):
        if name not in names:
            raise UsageError(no_such(what, name, names))
    logging.basicConfig(level=log_level.upper(), stream=sys.stderr, format="back-end: %(message)s")
    if crash_at is not None and crash_at.startswith("packed.") and choices.ring == "split":
        raise UsageError(f"crash-at {crash_at}: packed rings are not offered")
    if not 1 <= queues <= QUEUES_MAX:
        raise UsageError(f"{queues} queues; there can be 1 to {QUEUES_MAX}")
    if not 0 <= mem_slots <= MEM_SLOTS_MAX:
        raise UsageError(f"{mem_slots} memory slots; there can be 0 to {MEM_SLOTS_MAX}")
    if offer & ~MORE_FEATURES:
        raise UsageError(f"features {offer & ~MORE_FEATURES:#x} cannot be offered besides; {MORE_FEATURES:#x} can")
    hook = hooks.crash_at(crash_at) if crash_at is not None else hooks.silent
    if reins is not None:
        hook = hooks.chain(hook, reins.hook)
    if dump is not None:
        _make_folder(dump)
    with Disk(image, queues, offer) as disk, Trace(trace) as writer:
        device = Device(
            disk=disk,
            choices=choices,
            hook=hook,
            schedule=schedule or Schedule(),
            trace=writer,
            rng=random.Random(seed),  # noqa: S311  # an order of completion, no secret
            beside=beside,
            loose=frozenset(each.ring for each in (choices, beside) if each is not None and _shows(each)),
            dump=dump,
            mem_slots=mem_slots,
            reins=reins,
            stride=stride,
            generation=generation,
            status=status,
        )
        with Server(socket, device, log) as server:
            _serve_until_signal(server, lambda: _ready(device, socket, image))


def _ready(device: Device, socket: Path, image: Path) -> str:
    """Say what is served where."""
    each = [device.choices_of(ring) for ring in RINGS if device.packed or ring == "split"]
    rings = ", ".join(f"{one.ring} rings by {' '.join([one.revision, *_told(one)])}" for one in each)
    disk, queues = device.disk, counted(device.disk.queues, "queue")
    return f"listening at {socket}: image {image} of {disk.capacity} sectors, {queues}, {rings}"


def _told(choices: Choices) -> Iterator[str]:
    """Yield what is chosen other than the defaults, as ``--gap`` has it."""
    return (f"{gap}={choice}" for gap, choice in choices.changed().items())


def _shows(choices: Choices) -> bool:
    """Return whether a choice is to show what it leads to, so that rules which it breaks must not be checked.

    A packed region that is smaller than the ring breaks none of them, once requests wait for its entries.
    """
    kept = {"region-size"} if choices.ring == "packed" else set()
    return not choices.changed().keys() <= kept


def _make_folder(path: Path) -> None:
    """Make a folder, if it is not there. Raises InflightError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InflightError(f"dump {path}: {error.strerror}") from error


def _serve_until_signal(server: Server, ready: Callable[[], str]) -> None:
    """Serve until SIGTERM or SIGINT, and put back what these did before; log what ``ready`` says when one may come."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, lambda _number, _frame: server.stop())
        if _LOG.isEnabledFor(logging.INFO):
            _LOG.info(ready())
        server.serve()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parser(prog: str, log_level: str) -> argparse.ArgumentParser:
    """Return what reads the arguments of a back-end; ``log_level`` is what is logged where none is named."""
    made = argparse.ArgumentParser(
        prog=prog,
        allow_abbrev=False,
        description="Serve a file as a vhost-user-blk device, until SIGTERM or Ctrl-C.",
        epilog="Exit status: 0 when it was told to end, 2 when it could not begin; the log is on standard error.",
    )
    add = made.add_argument
    add("--socket", type=Path, required=True, metavar="PATH", help="the socket to listen on")
    add("--image", type=Path, required=True, metavar="FILE", help="the disk's file")
    add("--packed", action="store_true", help="offer packed rings besides split ones")
    add("--queues", type=int, default=1, metavar="N", help=f"1 to {QUEUES_MAX}; 1 if left out")
    add(
        "--revision",
        default="",
        help="v6, merged or hardened, for both rings. Left out, it is for each ring the one that is proved: merged for "
        "split rings, hardened for packed ones, where v6 and merged resubmit requests that the driver has as used "
        "(docs/errata.md)",
    )
    add("--gap", action="append", default=[], metavar="[RING.]NAME=CHOICE",
        help="a choice other than the default, for one ring or for each that has it")  # fmt: skip
    add("--schedule", type=Path, metavar="FILE", help="what to hold back, and the order of completion")
    add("--crash-at", metavar="STEP[:N]", help="die right after the Nth such step")
    add("--trace", type=Path, metavar="FILE", help="append a line for each thing that really happened")
    add("--seed", type=int, default=0, metavar="N", help="of the order of completion; 0 if left out")
    add("--log-level", default=log_level, metavar="LEVEL",
        help=f"error, info (what happened) or debug (every message); {log_level} if left out")  # fmt: skip
    add("--dump", type=Path, metavar="FOLDER", help="write what each ring finds there, for `vhost-inflight recover`")
    add("--mem-slots", type=int, default=MEM_SLOTS, metavar="N",
        help=f"regions of memory that may come one by one; 0: all as one table; {MEM_SLOTS} if left out")  # fmt: skip
    add("--stride", default="64", help="64 or none: what a queue's region is rounded up to, in bytes; 64 if left out")
    add("--offer", type=read_bits, default=0, metavar="BITS",
        help="more virtio features: those that an earlier back-end offered (0x6c02)")  # fmt: skip
    add("--stop", default="drain", metavar="GENERATION",
        help="how rings are stopped: drain (all is finished first), may-suspend (GET_VRING_BASE leaves requests in the "
        "region) or skip-drain (GET_VRING_BASE_SKIP_DRAIN does); drain if left out (docs/stopping.md)")  # fmt: skip
    add("--status", action="store_true",
        help="offer the device status (SET_STATUS, GET_STATUS): 0 resets the device; not for QEMU 7.2, which says "
        "0 before it stops its rings, so that what is in flight is lost in a move (docs/peers.md)")  # fmt: skip
    return made


def serve(arguments: Sequence[str], prog: str, log_level: str = "info") -> None:
    """Run a back-end from command line arguments; raises as `run_backend` does, SystemExit(2) for wrong ones."""
    given = parser(prog, log_level).parse_args(arguments)
    each = of_each_ring(parse_gaps(given.gap), given.revision, packed=given.packed)
    run_backend(
        given.socket,
        given.image,
        queues=given.queues,
        choices=each.get("packed", each["split"]),
        beside=each["split"] if given.packed else None,
        crash_at=given.crash_at,
        schedule=Schedule.load(given.schedule) if given.schedule is not None else None,
        trace=given.trace,
        seed=given.seed,
        log_level=given.log_level,
        dump=given.dump,
        mem_slots=given.mem_slots,
        stride=given.stride,
        offer=given.offer,
        generation=given.stop,
        status=given.status,
    )


def read_bits(text: str) -> int:
    """Read feature bits: a number, in hexadecimal with 0x. Raises argparse.ArgumentTypeError."""
    try:
        bits = int(text, 0)
    except ValueError:
        bits = -1
    if bits < 0:
        raise argparse.ArgumentTypeError(f"wanted is a number such as 0x6c02, not {text!r}")
    return bits


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a back-end from command line arguments; return the exit status, 2 for anything it cannot start with."""
    given = sys.argv[1:] if arguments is None else arguments
    return told(lambda: serve(given, "python -m refimpl.backend.process", "error"))


def told(run: Callable[[], None]) -> int:
    """Run a back-end, and tell what it cannot start with on standard error; return the exit status."""
    try:
        run()
    except InflightError as error:
        log_to_stderr(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
