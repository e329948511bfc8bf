"""Machines and their back-ends, each pair in a folder of its own, all on one image: where a guest is, or may go."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from vhost_inflight.forked import held_signals
from vhost_inflight.guest.back_end import GuestOutcome, Served
from vhost_inflight.guest.machine import Machine
from vhost_inflight.guest.prepare import prepared
from vhost_inflight.guest.qemu import program
from vhost_inflight.judging.crash.faults import check_socket
from vhost_inflight.judging.crash.plan import Kill

__all__ = ["WRITERS", "Side", "Sides", "sides"]

WRITERS: Final = 16
"""Jobs of the guest, each with one request at a time."""

_MEGABYTE: Final = 1 << 20

Backs_co = TypeVar("Backs_co", bound=Served, covariant=True)


@dataclass(frozen=True)
class Side(Generic[Backs_co]):
    """A machine and its back-end; where another's guest comes to, if it waits, and where the back-end dies then."""

    machine: Machine
    back_end: Backs_co
    incoming: Path | None = None
    arrival: Kill | None = None


class Sides(Protocol[Backs_co]):
    """Makes sides, one after the other."""

    def __call__(self, number: int, kill: Kill | None = None) -> Side[Backs_co]:
        """Make a machine, and its back-end.

        That of number 0 boots a guest. All others wait for one, with a back-end that runs and dies as told, if at all.
        """


@contextlib.contextmanager
def sides(
    outcome: GuestOutcome, served: Callable[[Path, Path], Backs_co], *, qemu: Path | None = None, moves: int = 0
) -> Iterator[Sides[Backs_co]]:
    """Give what makes up to ``moves`` sides beside the first; all of them end with the block.

    ``served`` makes a back-end of a folder for what is its own, and an image. Raises MissingError when a program is
    missing, UsageError when ``qemu`` is none, CrashTestError when a socket's name would be too long.
    """
    parts, runs = prepared(qemu=qemu), program(qemu)
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-guest-") as name, contextlib.ExitStack() as stack:
        check_socket(Path(name) / str(moves) / ("incoming" if moves else "monitor"))  # the longest
        image = Path(name) / "image"
        with image.open("wb") as file:
            file.truncate(WRITERS * _MEGABYTE // 2 + _MEGABYTE)

        def side(number: int, kill: Kill | None = None) -> Side[Backs_co]:
            folder = Path(name) / str(number)
            folder.mkdir()
            back_end = served(folder, image)
            stack.callback(back_end.kill)
            incoming = folder / "incoming" if number else None
            if number:
                back_end.start(kill)
            with held_signals():  # what ends this program finds the machine here
                machine = stack.enter_context(Machine(
                    parts, folder, back_end.socket, packed=outcome.ring == "packed", queues=outcome.queues,
                    queue_size=outcome.queue_size, qemu=runs, incoming=incoming,
                ))  # fmt: skip
            return Side(machine, back_end, incoming, kill)

        yield side
