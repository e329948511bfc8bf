"""Judges a death: what the memory that it leaves says is held against what the driver did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from refimpl.choices import Choices
from refimpl.frontend.memory import GUEST_BASE, TABLE_ENTRIES
from refimpl.layout import DESC_WRITE
from vhost_inflight.conformance.driver import Request, next_place
from vhost_inflight.conformance.life import Ending, Rig
from vhost_inflight.conformance.load import QUEUE_SIZE
from vhost_inflight.recover.chains import Descriptor
from vhost_inflight.recover.given import FORMAT, Given
from vhost_inflight.recover.record import Recovery, Resubmitted
from vhost_inflight.recover.running import recover

__all__ = ["RULES", "SECTIONS", "SEVERITIES", "WORDS", "Broken", "given_of", "judge_memory", "state_of", "word"]

WORDS: Final = ("pass", "fail", "reject", "wedged", "skip")
"""Verdicts: all is well; data or requests suffer; the next process refuses; it hangs or dies; it could not be tried."""

RULES: Final[Mapping[str, str]] = {
    "no-used-resubmitted": "a request that the driver has back is never given to the device again",
    "nothing-lost": "each request that is not used is resubmitted, or fetched later: exactly one of both",
    "order": "requests are resubmitted in the order in which they were made available",
    "intact": "what is resubmitted is what was made available, and what comes back was done",
    "exactly-once": "no request comes back twice, nor one that was never made",
    "well-formed": "the region is one that a back-end can begin with",
    "ring-position": "fetching goes on where a request begins",
    "drains": "everything comes back, and the driver is notified",
}
"""The properties that are judged, as rules for a back-end."""

SECTIONS: Final[Mapping[str, str]] = {
    "no-used-resubmitted": "When reconnecting, 1",
    "nothing-lost": "When reconnecting, the last step",
    "order": "When reconnecting, the last step",
    "intact": "When receiving available buffers",
    "exactly-once": "When supplying used buffers",
    "well-formed": "Queue region",
    "ring-position": "When reconnecting; open in the text: docs/gaps.md, fetch-position",
    "drains": "When supplying used buffers; open in the text: docs/gaps.md, signal-at-start and ring-at-start",
}
"""Where in the text's chapter "Inflight I/O tracking" a rule belongs."""

SEVERITIES: Final[Mapping[str, str]] = {
    "no-used-resubmitted": "corrupts",
    "exactly-once": "corrupts",
    "intact": "corrupts",
    "order": "corrupts",
    "nothing-lost": "loses",
    "ring-position": "loses",
    "drains": "hangs",
    "well-formed": "strands",
}
"""What a guest suffers where a rule is broken, the worst first.

strands: nobody else who follows the text can go on with the region that was left; its own next process may.
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that was broken: its property, who saw it (memory, driver or disk), and what was seen."""

    property: str
    seen_by: str
    text: str


def given_of(rig: Rig, queue: int, choices: Choices) -> Given:
    """Return the memory of a queue as the oracle takes it, with its indirect tables."""
    tables = rig.ram.tables(queue)
    piece = tables.address, bytes(tables.view[: 16 * TABLE_ENTRIES * QUEUE_SIZE])
    assert tables.address >= GUEST_BASE
    return Given(choices, QUEUE_SIZE, QUEUE_SIZE, rig.region(queue), rig.ring_memory(queue), (piece,),
                 rig.front_end.bases[queue])  # fmt: skip


def state_of(rig: Rig, choices: Choices) -> dict[str, Any] | None:
    """Return the memory of the first queue as the command `recover` takes it; None where there is no region."""
    if not rig.region(0):
        return None
    given = given_of(rig, 0, choices)
    return {
        "format": FORMAT,
        "ring": given.ring,
        "revision": given.revision,
        "gaps": choices.changed(),
        "queue_size": given.queue_size,
        "region_size": given.region_size,
        "region": given.region.hex(),
        "ring_memory": {name: part.hex() for name, part in given.parts.items()},
        "memory": [{"address": address, "bytes": piece.hex()} for address, piece in given.pieces],
        "base": given.base,
    }


def judge_memory(rig: Rig, choices: Choices) -> Iterator[Broken]:
    """Judge the memory that a death left: what a right recovery makes of it, held against what the driver made."""
    for queue in range(rig.ram.queues):
        region = rig.region(queue)
        if len(region) < 16 or not rig.client.drivers:
            continue  # there is no region yet
        where = f"queue {queue}: " if rig.ram.queues > 1 else ""
        visible = set(rig.client.visible(queue))
        mine = [request for request in rig.client.requests if request.ask.queue == queue]
        if not any(region[8:10]):  # it is fresh: nothing is told by it, unless it should not be
            if visible or any(request.used for request in mine):
                text = "requests have come back, and by its version, 0, the region is fresh: what is in flight is lost"
                yield Broken("well-formed", "memory", where + text)
            continue
        recovery = recover(given_of(rig, queue, choices), recorded=False)
        judged = _refused(recovery) if recovery.refused is not None else _judge(rig, queue, recovery, mine, visible)
        for property_, text in judged:
            yield Broken(property_, "memory", where + text)


def _refused(recovery: Recovery) -> Iterator[tuple[str, str]]:
    assert recovery.refused is not None
    yield "well-formed", f"a right recovery refuses these bytes: {recovery.refused.rule}"


def _judge(
    rig: Rig, queue: int, recovery: Recovery, mine: Sequence[Request], visible: set[Request]
) -> Iterator[tuple[str, str]]:
    """Hold a recovery against the requests that were made: ``visible`` are used, and the driver has not looked yet."""
    left = [request for request in mine if not request.used and request not in visible]
    by_head = {request.head: request for request in mine}  # the latest of each
    again = [
        (told, by_head.get(told.entry if told.identity is None else told.identity)) for told in recovery.resubmitted
    ]
    numbers = []
    for told, request in again:
        if request is None:
            yield "intact", f"entry {told.entry} is marked inflight, and no request of its head was ever made"
        elif request not in left:
            yield "no-used-resubmitted", f"{request} is visible as used, and marked inflight"
        else:
            numbers.append(request.number)
            if not _same(told, request):
                yield "intact", f"{request} would be resubmitted, and not as it was made available"
    unfetched = _unfetched(rig, queue, recovery.position, left)
    if unfetched is None:
        yield "ring-position", f"fetching would go on at {recovery.position}, where no request begins"
        return
    for request in left:
        marked, later = request.number in numbers, request in unfetched
        if marked == later:
            what = (
                "marked inflight, and would be fetched too" if marked else "neither marked inflight nor fetched later"
            )
            yield "nothing-lost", f"{request} is {what}"
    if numbers != sorted(numbers):
        yield "order", f"requests {numbers} would be resubmitted in this order"


def _unfetched(rig: Rig, queue: int, position: tuple[int, ...], left: Sequence[Request]) -> Sequence[Request] | None:
    """Return the requests from a position on; None where none begins there."""
    for number, request in enumerate(left):
        if request.position == position:
            return left[number:]
    return [] if position == next_place(rig.client.drivers[queue]) else None


def _same(told: Resubmitted, request: Request) -> bool:
    """Return whether the descriptors that would be resubmitted are those that were made available."""
    flat: list[Descriptor] = []
    for desc in told.descriptors:
        flat += [desc] if desc.table is None else desc.table
    found = [(desc.address, desc.length, bool(desc.flags & DESC_WRITE)) for desc in flat]
    return found == [(buffer.address, buffer.length, buffer.writable) for buffer in request.chain]


def word(ending: Ending, broken: Sequence[Broken]) -> str:
    """Give the verdict on a case whose last life ended so."""
    if any(one.seen_by != "life" for one in broken):
        return "fail"
    if ending.how == "refused":
        return "reject"
    return "wedged" if ending.how in {"hung", "died"} else "pass"
