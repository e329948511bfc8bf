"""Each generation of back-end under each generation of front-end: stopped with requests in flight, and started again.

Over real sockets, with real processes: on the same connection, by the next process on the same region, and at the
destination of a migration, with copies of the guest's memory and of what the stream brings of the region.
"""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import pytest

from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.features import GENERATIONS
from tests.refimpl.stopping_rig import (
    DRIVER,
    FRESH,
    KEPT,
    REQUESTS,
    RINGS,
    SIZE,
    WAYS,
    BackEnds,
    Observed,
    Seen,
    asked,
    pattern,
)

PAGE = Path(__file__).parents[3] / "docs" / "stopping.md"
LOSES = ("may-suspend", "skip-drain", "migrated")
"""The one case in which requests are lost: the back-end suspends, and the front-end takes that for drained."""

PAIRS = list(product(GENERATIONS, GENERATIONS))


def row(*cells: object) -> str:
    """Return a row of the table in docs/stopping.md."""
    return f"| {' | '.join(map(str, cells))} |"


def stopped(folder: Path, back_ends: BackEnds, ram: GuestRam, generation: str) -> tuple[FrontEnd, Observed]:
    """Return a front-end that has stopped its device, and the guest: three requests had come back before that."""
    back_ends.start("socket")
    front_end = FrontEnd(folder / "socket", ram, timeout=20, generation=generation)
    front_end.connect()
    front_end.start()
    observed = Observed(Guest(front_end))
    observed.make(range(REQUESTS))
    observed.wait_for(REQUESTS - KEPT)
    front_end.stop()
    observed.look()
    return front_end, observed


def start_again(way: str, back_ends: BackEnds, front_end: FrontEnd) -> None:
    """Start the device where its memory is: on the same connection, or with the next process."""
    if way == "next process":
        back_ends.end(back_ends.processes[0])
        back_ends.start("socket")
        front_end.connect(again=True)
    front_end.start()


def migrate(folder: Path, back_ends: BackEnds, source: FrontEnd, ram: GuestRam, observed: Observed) -> FrontEnd:
    """Start the device elsewhere, on copies; return the front-end there."""
    stream = io.BytesIO()
    source.save(stream)
    back_ends.end(back_ends.processes[0])
    ram.memory.view()[:] = source.ram.memory.view()
    back_ends.start("elsewhere")
    front_end = FrontEnd(folder / "elsewhere", ram, timeout=20, generation=source.generation)
    front_end.load(io.BytesIO(stream.getvalue()))
    front_end.connect()
    front_end.bases = list(source.bases)
    guest = Guest(front_end)
    for name in DRIVER["packed" if ram.packed else "split"]:
        setattr(guest.drivers[0], name, getattr(observed.guest.drivers[0], name))
    guest.drivers[0].strict = False
    observed.guest = guest
    front_end.start()
    return front_end


def run(folder: Path, ring: str, back: str, front: str, way: str) -> tuple[tuple[int, int], Seen]:
    """Stop and start the device of one pair; return by which message, with how many in flight, and what was seen."""
    packed = ring == "packed"
    with (
        BackEnds(folder, ring, back) as back_ends,
        GuestRam(1, SIZE, 512, packed=packed) as ram,
        GuestRam(1, SIZE, 512, packed=packed) as other,
    ):
        front_end, observed = stopped(folder, back_ends, ram, front)
        done = observed.times.total()
        stop = int(front_end.stops_by), REQUESTS - done
        assert front_end.bases == [REQUESTS | (1 << 15 | done << 16 | 1 << 31 if packed else 0)]
        with front_end:
            if way == "migrated":
                there = migrate(folder, back_ends, front_end, other, observed)
            else:
                start_again(way, back_ends, front_end)
                there = front_end
            with there:
                asked(there)
                observed.make([FRESH])
                asked(there)
                back_ends.end(back_ends.processes[-1])
                observed.look()
        image = back_ends.image.read_bytes()
    sectors = [*range(REQUESTS), FRESH]
    return stop, Seen(observed.times, frozenset(n for n in sectors if image[512 * n :][:512] != pattern(n)))


@pytest.mark.parametrize(("back", "front"), PAIRS)
@pytest.mark.parametrize("ring", list(RINGS))
def test_pairs(tmp_path: Path, ring: str, back: str, front: str) -> None:
    """What the driver sees is what docs/stopping.md says, on either ring."""
    stops, seen = set(), []
    for way in WAYS:
        (tmp_path / way).mkdir()
        stop, saw = run(tmp_path / way, ring, back, front, way)
        stops.add(stop)
        seen.append(saw)
        assert (str(saw) == "all back once") == ((back, front, way) != LOSES)
    ((message, left),) = stops
    assert row(back, front, message, left, *seen) in PAGE.read_text(encoding="utf-8").splitlines()
