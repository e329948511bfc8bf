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
from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule, Trace
from refimpl.backend.reins import Reins
from refimpl.backend.ring import Device
from refimpl.backend.server import Log, Server
from refimpl.choices import Choices
from refimpl.errors import InflightError, UsageError

LOG_LEVELS = ("error", "info", "debug")
"""What is logged: what went wrong; what happened too; every message with its bytes too."""

QUEUES_MAX = 64
"""Most queues that a back-end can be given."""


def log_to_stderr(line: str) -> None:
    """Print a line to standard error, at once."""
    print(f"back-end: {line}", file=sys.stderr, flush=True)


def run_backend(
    socket: Path,
    image: Path,
    *,
    queues: int = 1,
    choices: Choices | None = None,
    crash_at: str | None = None,
    schedule: Path | None = None,
    trace: Path | None = None,
    seed: int = 0,
    log: Log = log_to_stderr,
    log_level: str = "error",
    dump: Path | None = None,
    mem_slots: bool = True,
    reins: Reins | None = None,
) -> None:
    """Serve ``image`` as a vhost-user-blk device at ``socket`` until SIGTERM or SIGINT.

    ``queues`` is 1 to 64; ``crash_at`` is ``STEP[:N]``: SIGKILL right after the Nth such step; ``schedule`` (see
    Schedule) fixes what is held back, ``seed`` what the schedule leaves to chance; ``trace`` is a file to append to
    (see Trace); ``log_level`` is one of LOG_LEVELS: what is told on standard error; ``dump`` is a folder, made if it is
    not there, for what the rings find when they start; ``mem_slots`` as in Device. With choices of the packed ring,
    packed rings are offered. When a choice deviates from the default, the engine checks memory safety alone, for the
    deviation to show what it leads to. Must be called in the main thread.

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
    if reins is not None and queues != 1:
        raise UsageError(f"a back-end that is steered has one queue, not {queues}")
    hook = hooks.crash_at(crash_at) if crash_at is not None else hooks.silent
    if reins is not None:
        hook = hooks.chain(hook, reins.hook)
    plan = Schedule.load(schedule) if schedule is not None else Schedule()
    if dump is not None:
        _make_folder(dump)
    with Disk(image, queues) as disk, Trace(trace) as writer:
        device = Device(
            disk=disk,
            choices=choices,
            hook=hook,
            schedule=plan,
            trace=writer,
            rng=random.Random(seed),  # noqa: S311  # an order of completion, no secret
            strict=not choices.changed(),
            dump=dump,
            mem_slots=mem_slots,
            reins=reins,
        )
        with Server(socket, device, log) as server:
            _serve_until_signal(server)


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
    parser.add_argument("--no-mem-slots", action="store_true")
    parser.add_argument("--reins", type=int, metavar="FD", help="be steered: see refimpl.backend.reins")
    given = parser.parse_args(arguments)
    try:
        run_backend(
            given.socket,
            given.image,
            queues=given.queues,
            choices=Choices.from_mapping(parse_gaps(given.gap), given.revision, "packed" if given.packed else "split"),
            crash_at=given.crash_at,
            schedule=given.schedule,
            trace=given.trace,
            seed=given.seed,
            log_level=given.log_level,
            dump=given.dump,
            mem_slots=not given.no_mem_slots,
            reins=None if given.reins is None else Reins(given.reins),
        )
    except InflightError as error:
        log_to_stderr(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
