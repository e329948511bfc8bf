"""What judging and searching runs of plain numbers need to know of a ring.

Both rings have the same names for most of what the judges look at (``recover.at``, ``recover.resubmitted``,
``recover.left``, ``driver.requests``, ``crash``, ``driver.make.1``). What differs is here. None of it needs a solver,
so that playing a schedule does not load one; what a proof needs is in `proofs.induction.kits`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model.both.words import RUNNING
from model.packed import properties as packed
from model.packed.quiet import quiet as packed_quiet
from model.record import Vars
from model.split import properties as split
from model.split.later import LOOKS
from model.split.quiet import quiet as split_quiet
from model.steps import Guard, Table
from model.terms import ModelError, Term, all_of, any_of, parameter, wrap
from proofs.search.bounds import Bounds, Campaign

__all__ = ["PACKED", "RESUBMITTED", "SPLIT", "Runs", "left", "runs"]


@dataclass(frozen=True)
class Runs:
    """What judging and searching need to know of a ring.

    `resubmit`: the step that begins to give a request to the device again, with the request as its choice. `made`: the
    step with which a request becomes available. `end`: the variables in which recovery leaves where fetching goes on,
    and the counter. `all_seen`: whether the driver has everything back. `beyond`: states from which a search goes no
    further. `quiet`: leaves the steps of notification out of a table.
    """

    resubmit: str
    made: str
    end: tuple[str, ...]
    all_seen: Guard
    beyond: Callable[[Table], Guard]
    quiet: Callable[[Table], Table]
    campaign: Campaign


def _split_beyond(table: Table) -> Guard:
    """Give whether a back-end that has gone wrong is about to fetch more than the ring holds, or to walk for long.

    A search goes no further there: every back-end must take the first for a broken driver, and the second (more than
    twice as many entries as there are) does again and again what it has done. Where a table has the step that looks for
    a broken driver, the first is no end.
    """

    def far(s: Any) -> Term:
        return s.recover.left > parameter("heads") + parameter("heads")  # type: ignore[no-any-return]

    def beyond(s: Any) -> Term:
        ahead = wrap(s.avail.idx - s.fetch.last_avail, 16)
        return any_of(all_of(s.recover.at == RUNNING, ahead > parameter("size")), far(s))

    return far if LOOKS in table.steps else beyond


SPLIT = Runs(
    resubmit="split.reconnect.2",
    made="driver.make.3",
    end=("fetch.last_avail", "counter"),
    all_seen=split.all_seen,
    beyond=_split_beyond,
    quiet=split_quiet,
    campaign=Campaign(
        bounds=(Bounds(2, 2, 1, 1, 1), Bounds(2, 3, 1), Bounds(2, 2, 1, 0, 65535), Bounds(4, 1, 1)),
        counters=(Bounds(2, 3, 2),),
        in_use=(),
        laps=(),
        drains=(Bounds(2, 1, 1), Bounds(4, 1, 1), Bounds(1, 2, 1), Bounds(2, 1, 1, 1), Bounds(2, 1, 1, 0, 65535)),
        batches=(Bounds(2, 2, 0),),
        wide=(Bounds(2, 2, 2, 1, 1), Bounds(2, 3, 2), Bounds(2, 4, 2), Bounds(4, 2, 1), Bounds(4, 3, 1)),
        wide_drains=(Bounds(2, 2, 1),),
        further={
            ("fresh-used-idx", "zero-and-skip"): (Bounds(2, 2, 1, 0, 1),),
        },
    ),
)

PACKED = Runs(
    resubmit="packed.reconnect.4",
    made="driver.make.head",
    end=("fetch.avail_idx", "fetch.avail_wrap", "counter"),
    all_seen=packed.all_seen,
    beyond=lambda _: packed.beyond_the_ring,
    quiet=packed_quiet,
    campaign=Campaign(
        bounds=(Bounds(1, 2, 2), Bounds(2, 2, 1, 1), Bounds(2, 3, 1), Bounds(3, 2, 1)),
        counters=(Bounds(2, 3, 2),),
        in_use=(Bounds(2, 2, 1, 0, 3),),
        laps=(Bounds(1, 2, 2, 0, 1), Bounds(2, 2, 1, 0, 2), Bounds(2, 3, 1, 0, 2)),
        drains=(Bounds(1, 2, 1), Bounds(2, 1, 1, 1)),
        batches=(),
        wide=(Bounds(2, 2, 2), Bounds(2, 2, 3)),
        wide_drains=(Bounds(2, 2, 1),),
    ),
)

RESUBMITTED = "recover.resubmitted"
"""Where the model keeps which requests this recovery has resubmitted."""


def left(ring: str, variables: Vars) -> tuple[str, ...]:
    """Give what recovery leaves, by name: the region, the resubmit list, fetch position and counter.

    `restartable` says that these do not depend on where a recovery was cut off: a search compares them in two runs, and
    a proof shows it of each of them.
    """
    region = (var.name for var in variables.values() if var.kind == "region")
    return (*region, RESUBMITTED, *runs(ring).end)


_RUNS = {"split": SPLIT, "packed": PACKED}


def runs(ring: str) -> Runs:
    """Give what judging and searching need to know of a ring; raise `ModelError` if there is no such ring."""
    if ring not in _RUNS:
        raise ModelError(f"nothing says how runs of a ring {ring!r} are judged; there are: {', '.join(_RUNS)}")
    return _RUNS[ring]
