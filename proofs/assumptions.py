"""What `proved` rests on besides the model: assumptions about the world, which no proof removes.

`verify` prints each as a line; docs/trust.md has them as a table, with why each is reasonable and what breaks if it is
false (`tools.trust` makes the table from this one). What can be shown instead of being assumed is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["ASSUMPTIONS", "Assumption", "lines", "of"]

BOTH = ("split", "packed")


@dataclass(frozen=True)
class Assumption:
    """One assumption: a name, what is assumed in a line, why that is reasonable, what breaks otherwise, which rings."""

    name: str
    line: str
    why: str
    otherwise: str
    rings: tuple[str, ...] = BOTH


ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        "store", "a store of a C field is whole, and a crash keeps the stores so far in program order",
        "fields are aligned; a processor ends what it has stored when a process dies, and a compiler can be told",
        "[orders](orders.md): each order that is needed has a run that breaks without it",
    ),
    Assumption(
        "memory", "driver and back-end see each other's stores in the order in which these were made",
        "virtio asks for barriers; [memory order in C11](orders-memory.md) says which a back-end needs",
        "each barrier that is needed has a run that breaks without it",
    ),
    Assumption(
        "crash", "a crash ends the whole process at once, with its I/O; the next one starts after that",
        "a killed process is gone when its socket closes, as long as its I/O is synchronous",
        "two back-ends serve one ring, or a write of the dead one overtakes that of a request made later",
    ),
    Assumption(
        "thread", "one thread serves a queue: it fetches, supplies and recovers one after the other",
        "where several do, they take a lock: list, counter and batch are theirs in common",
        "`fetch-in-batch=always` is a part of what happens then, and violates",
    ),
    Assumption(
        "device", "the device finishes a request in one step; one not visible as used may be done again",
        "nobody looks at a result before it is published; the driver orders nothing against what it waits for",
        "a request that must not be done twice is: recovery cannot know how far the device had come",
    ),
    Assumption(
        "driver", "the driver follows virtio: a head, an id, a slot, a chain is its own only when it came back",
        "a driver that does not corrupts its own data; [any bytes at all](hostile.md) are survived",
        "the back-end reads half of another request; the region is sound, what is in it is not",
    ),
    Assumption(
        "chain", "the driver writes a request's descriptors, and reads a used element, in one step",
        "no back-end reads a chain before it is available, nor stores to a used element that was not read",
        "a driver that breaks this breaks the one above",
        ("split",),
    ),
    Assumption(
        "descriptor", "the driver writes a descriptor but for its flags, and reads a used element, in one step",
        "no back-end reads a slot before its flags say that it may, nor stores to a used one that was not read",
        "a driver that breaks this breaks the one above",
        ("packed",),
    ),
    Assumption(
        "numbers", "64-bit counters do not wrap, nor do the numbers that stand for what is in a request",
        "2^64 requests take longer than any machine lives; contents only have to be told apart",
        "the order of resubmission, once; nothing else speaks of the counter",
    ),
    Assumption(
        "events", "notifications are by event indexes; the eventfds keep their state and stay the same",
        "Linux negotiates them; the kernel holds an eventfd's count, and the front-end hands it on",
        "a lost kick hangs the driver; nothing but `drains` speaks of notifications",
        ("split",),
    ),
    Assumption(
        "events", "the back-end asks for kicks by flags, the driver by flags or (event-kind=index) by event index; "
        "the eventfds keep their state",
        "that is what back-ends do and Linux asks for; the kernel holds an eventfd's count",
        "a lost kick hangs the driver; nothing but `drains` speaks of notifications",
        ("packed",),
    ),
    Assumption(
        "look", "(drains) the driver looks whether to kick after each store of avail.idx",
        "one look after several sees the same wish: the back-end looks again after it wished, as the driver does",
        "a request that nobody was kicked for waits for the next kick; nothing but `drains` speaks of kicks",
        ("split",),
    ),
    Assumption(
        "look", "(drains) the driver looks whether to kick after each request",
        "one look after several sees the same wish: the back-end looks again after it wished, as the driver does",
        "a request that nobody was kicked for waits for the next kick; nothing but `drains` speaks of kicks",
        ("packed",),
    ),
    Assumption(
        "features", "neither IN_ORDER nor RING_RESET is negotiated, but where `in-order` or `ring-reset` is chosen",
        "the text does not say what the region holds with them; the reference offers neither; judged as choices of "
        "their own, `in-order` and `ring-reset`",
        "[errata-2026](errata-2026.md): a request that its batch alone notes, or a region that outlives its ring",
    ),
    Assumption(
        "skipped", "(in-order) what a used element skips was used completely, as virtio has the driver take it",
        "a back-end that writes less for a request than was asked gives it an element of its own",
        "the driver takes more for written than was; `len` is judged of the requests that an element names",
    ),
    Assumption(
        "region", "the front-end hands the same region, as it was left, back for the same queue and ring",
        "the text asks for that; it is checked as far as it can be: sizes, version, desc_num",
        "everything: the region is all that a new process has",
    ),
    Assumption(
        "fresh", "a fresh region is zeroed, and its ring is new or drained",
        "the front-end asks for one at the start of the device; GET_VRING_BASE is answered when all is done",
        "requests that were in flight are in no region: they are lost",
    ),
    Assumption(
        "base", "with a fresh region SET_VRING_BASE says where the ring goes on",
        "the front-end got it from GET_VRING_BASE; gap `fresh-used-idx` has the other reading",
        "`ring-position`: the first used element is not where the driver looks",
        ("packed",),
    ),
    Assumption(
        "sizes", "the region has an entry for each descriptor of the ring, or (region-size=larger) more",
        "SET_VRING_NUM and the region's size come from one front-end; the reference refuses a smaller one",
        "`region-size=smaller`: what has no entry is lost in a crash",
        ("split",),
    ),
    Assumption(
        "sizes", "the region has as many entries as the ring has descriptors",
        "SET_VRING_NUM and the region's size come from one front-end; the reference refuses a smaller one",
        "`region-size=smaller`: what has no entry is lost in a crash",
        ("packed",),
    ),
    Assumption(
        "reset", "a reset takes driver, ring and region at once, between two requests of the back-end",
        "RESET_DEVICE is a message, and messages are handled there; gap `reset` has what may go wrong",
        "`reset=kept`, `reset=kept-alive`: what was in flight before is resubmitted to the driver after it",
    ),
    Assumption(
        "fairness", "(drains) driver, device and back-end, each of its queues, go on again and again",
        "whoever stops for ever finishes nothing",
        "a request waits for ever; nothing else is lost",
    ),
    Assumption(
        "queues", "each queue has its own ring and eventfds; each has as many entries as the payload says",
        "a driver that lays two rings over each other breaks virtio; the payload has one size for all",
        "one queue's stores are another's: the proof about several queues says nothing",
    ),
    Assumption(
        "entries", "(several queues, where nothing is proved) a back-end checks that an entry is in its region",
        "what breaks a property may also leave an entry that is not there; the reference checks each",
        "the violated text takes other queues with it",
    ),
)  # fmt: skip
"""All of them, the most basic first. A name comes twice where the rings differ."""


def of(rings: Iterable[str]) -> Iterator[tuple[str, Assumption]]:
    """Give what is assumed of some rings, each with the ring that it is about, or nothing if it is about all."""
    chosen = tuple(rings)
    for one in ASSUMPTIONS:
        about = [ring for ring in chosen if ring in one.rings]
        if about:
            yield ("" if one.rings == BOTH or len(chosen) == 1 else about[0]), one


def lines(rings: Iterable[str]) -> list[str]:
    """Give what is assumed of some rings as `verify` prints it, a line for each."""
    return [f"{one.name}{f' ({ring})' if ring else ''}: {one.line}" for ring, one in of(rings)]
