"""Bytes that nobody may recover from, a field at a time, and who broke a rule (docs/hostile.md).

The model has no hostile bytes: it is about those that a process which follows the text can leave. So who is to blame is
said here, field by field; a test holds it against the reference, which says it on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from vhost_inflight.vectors.form import Given, Outcome, Recovered, Refused, Vector
from vhost_inflight.vectors.hostile_driver import drivers_faults
from vhost_inflight.vectors.images import Where
from vhost_inflight.vectors.lives import Life
from vhost_inflight.vectors.machines import layout_of
from vhost_inflight.vectors.scripts import Script
from vhost_inflight.vectors.states import Memory, back_end, lived

__all__ = ["hostile_vectors"]

_LIVES: Final = {
    "split": {
        "published": "start;make 2;fetch;make 0;fetch;make 1;fetch;supply 0;use;make 0;fetch;gather 2 0;publish 5",
        "inflight": "start;make 2;fetch;make 0;fetch;make 1;fetch;supply 0;use",
    },
    "packed": {
        "inflight": "start;make 2;fetch;make 0 2;fetch;make 1;fetch;supply 2;use",
        "building": "start;make 2;fetch;make 0 2;fetch;make 1;fetch;supply 2;use;make 2;fetch;gather 2 1",
    },
}
"""Lives after which every field means something, by name."""


@dataclass(frozen=True)
class Wrong:
    """A field and what it must not be: after which life, the field's name in the model, its number, the value, a note.

    `size` and `entries`: other sizes than 4 that are said to be; `cut`: bytes that are missing at the region's end.
    """

    life: str
    name: str
    field: str
    number: int
    value: int
    note: str
    culprit: str = "back-end"


_E, _H = "region.desc[].", "region."

_COMMON: Final = (
    Wrong("inflight", "version", _H + "version", 0, 2, "A version that nobody knows lays its fields out otherwise."),
    Wrong("inflight", "desc-num-less", _H + "desc_num", 0, 3, "The region says that it has fewer entries than it has."),
    Wrong(
        "inflight",
        "desc-num-more",
        _H + "desc_num",
        0,
        5,
        "The region says that it has more entries than it has: a back-end that believes it writes behind the buffer.",
    ),
    Wrong("inflight", "inflight-2", _E + "inflight", 1, 2, "A mark that is neither 0 nor 1 was stored by nobody."),
    Wrong(
        "inflight",
        "counter-end",
        _E + "counter",
        1,
        2**64 - 1,
        "The counter after this one is 0: what is fetched next would come before everything.",
    ),
)

_WRONG: Final[Mapping[str, tuple[Wrong, ...]]] = {
    "split": (
        *_COMMON,
        Wrong(
            "inflight",
            "used-idx-ahead",
            _H + "used_idx",
            0,
            9,
            "used_idx is ahead of the ring's: taken modulo 65536, "
            "a walk over entries that are no list clears what is inflight.",
        ),
        Wrong("published", "used-idx-behind", _H + "used_idx", 0, 65500, "A batch that is longer than the ring."),
        Wrong(
            "published", "list-head", _H + "last_batch_head", 0, 4, "The list of the batch begins past the last entry."
        ),
        Wrong(
            "published", "list-head-far", _H + "last_batch_head", 0, 65535, "The list of the batch begins far outside."
        ),
        Wrong(
            "published",
            "list-link",
            _E + "next",
            0,
            60000,
            "The list of the batch leads outside: a back-end that follows it clears a byte of somebody else's memory.",
        ),
    ),
    "packed": (
        *_COMMON,
        Wrong("inflight", "free-head", _H + "free_head", 0, 5, "The free list begins past its end."),
        Wrong("inflight", "old-free-head", _H + "old_free_head", 0, 40000, "The free list begins far outside."),
        Wrong("inflight", "used-idx", _H + "used_idx", 0, 4, "The used slot is past the ring's last one."),
        Wrong(
            "inflight", "old-used-idx", _H + "old_used_idx", 0, 65535, "The old used slot is far outside of the ring."
        ),
        Wrong("inflight", "used-wrap", _H + "used_wrap_counter", 0, 2, "A wrap counter is 0 or 1."),
        Wrong("inflight", "old-used-wrap", _H + "old_used_wrap_counter", 0, 255, "A wrap counter is 0 or 1."),
        Wrong("inflight", "num-0", _E + "num", 1, 0, "A chain of no descriptors."),
        Wrong(
            "inflight",
            "num-far",
            _E + "num",
            1,
            65535,
            "A chain that is longer than the ring: a back-end that walks it goes round, or outside.",
        ),
        Wrong("inflight", "num-sum", _E + "num", 1, 4, "More descriptors are inflight than the ring has slots."),
        Wrong(
            "inflight",
            "last-far",
            _E + "last",
            1,
            60000,
            "The last descriptor of a chain is outside of the region: its buffer id is read from other memory.",
        ),
        Wrong("inflight", "chain-link", _E + "next", 1, 60000, "A chain leads outside of the region."),
        Wrong(
            "building",
            "free-list-outside-count",
            _H + "free_head",
            0,
            65535,
            "The free list of a batch that was being built begins outside.",
        ),
    ),
}

_LOOP: Final = "The free list leads back to itself: a back-end that follows it to its end never starts."


def hostile_vectors(ring: str, revision: str, *, tersely: bool = False) -> Iterator[Vector]:
    """Give the vectors of hostile bytes; `tersely`: of a driver's faults those alone that memory can show by itself."""
    bases = {name: _base(ring, revision, words) for name, words in _LIVES[ring].items()}
    for wrong in _WRONG[ring]:
        life, given = bases[wrong.life]
        yield _refused(
            wrong.name, _poked(life, given, wrong.field, wrong.number, wrong.value), wrong.note, wrong.culprit
        )
    life, given = bases["inflight"]
    if ring == "packed":
        head = life.get("region.free_head")
        yield _refused("free-list-loop", _poked(life, given, _E + "next", head, head), _LOOP, "back-end")
        yield from _early(given)
    else:
        yield _refused(
            "past-the-ring", _past_the_ring(revision), "An entry is inflight that no head of the ring has.", "back-end"
        )
    yield from (_refused(name, bad, note, "driver") for name, bad, note in drivers_faults(life, given, tersely=tersely))
    yield from _sizes(given)
    if not tersely:
        yield from _missing(given)


def _base(ring: str, revision: str, words: str) -> tuple[Life, Given]:
    life, sizes = lived(ring, revision, Script("hostile", words))
    memory = Memory(life.images.parts(life.machine.initial()))
    for phase in life.phases:
        memory.store(phase.stores)
    return life, memory.given(ring, revision, sizes, life.images)


def _refused(name: str, given: Given, note: str, culprit: str) -> Vector:
    about = f"{given.ring}-{given.revision}-hostile-{name}"
    return Vector(
        about, "state", "hostile input", None, ("hostile",), note, "refuses", given, (Outcome({}, Refused(culprit)),)
    )


def _poked(life: Life, given: Given, field: str, number: int, value: int) -> Given:
    where: Where = life.images.places[field]
    region, at = bytearray(given.region), where.offset(number)
    region[at : at + where.width] = value.to_bytes(where.width, "little")
    return replace(given, region=bytes(region))


def _sizes(given: Given) -> Iterator[Vector]:
    """Give sizes that do not fit: what the front-end says of ring and region, and how long they are."""
    layout = layout_of(given.ring, given.revision)
    need = layout.offset(given.region_size)
    for name, changed, note in (
        (
            "region-short",
            replace(given, region=given.region[: need - 1], stride=need - 1),
            "The buffer ends a byte before the region does: who maps it dies of SIGBUS, or writes elsewhere.",
        ),
        (
            "region-smaller",
            replace(given, region_size=2),
            (
                "The region has fewer entries than the ring: heads past its end "
                "have no entry. QEMU since version 10 asks for such regions."
            ),
        ),
        ("region-none", replace(given, region_size=0), "A region of no entries."),
        ("queue-none", replace(given, queue_size=0), "A ring of no entries."),
        ("queue-far", replace(given, queue_size=32769, region_size=32769), "A ring that is larger than virtio allows."),
    ):
        yield _refused(name, changed, note, "front-end")
    if given.ring == "split":
        odd = replace(given, queue_size=3)
        yield _refused(
            "queue-odd", odd, "A split ring's size is a power of two: no index wraps right in this one.", "front-end"
        )
    else:
        fresh = _base(given.ring, given.revision, "make 0")[1]
        for name, base in (("avail", 0x80008004), ("used", 0x80048000)):
            note = f"SET_VRING_BASE says that the next {name} slot of a fresh region is past the ring's last one."
            yield _refused(f"base-{name}", replace(fresh, base=base), note, "front-end")


def _missing(given: Given) -> Iterator[Vector]:
    """Give rings and guest memory that are not as a front-end has to say them."""
    for part, content in given.ring_memory.items():
        if part in ("descriptors", "available", "used"):
            least = {"descriptors": 16, "available": 2, "used": 8}[part] * given.queue_size + 4 * (
                part != "descriptors"
            )
            short = replace(given, ring_memory={**given.ring_memory, part: content[: least - 1]})
            yield _refused(f"{part}-short", short, "A part of the ring ends a byte before its last entry.", "front-end")
    for name, pieces in (
        ("memory-empty", ((0x1000, b""),)),
        ("memory-twice", ((0x1000, bytes(32)), (0x1010, bytes(32)))),
        ("memory-far", ((2**64 - 16, bytes(32)),)),
    ):
        note = "A piece of guest memory is empty, or overlaps another, or leaves the 64 bits of an address."
        yield _refused(name, replace(given, memory=pieces), note, "front-end")


def _past_the_ring(revision: str) -> Given:
    life, given = _base("split", revision, "start;make 0;fetch")
    script = Script("larger", "start;make 0;fetch", 2, entries=5, gaps=(("region-size", "larger"),))
    life, sizes = lived("split", revision, script)
    memory = Memory(life.images.parts(life.machine.initial()))
    for phase in life.phases:
        memory.store(phase.stores)
    given = memory.given("split", revision, sizes, life.images)
    return _poked(life, given, _E + "inflight", 3, 1)


def _early(given: Given) -> Iterator[Vector]:
    """Give a region whose entries begin at byte 29: refused, or told apart and served where they are."""
    layout = layout_of(given.ring, given.revision)
    fields, begin = 29, layout.header.size

    def moved(data: bytes) -> bytes:
        return data[:fields] + data[begin:] + bytes(begin - fields)

    vector = _refused(
        "header-29",
        replace(given, region=moved(given.region)),
        "The entries begin where the fields of the "
        "header end, at byte 29, and not at 32 as in C: read at 32 each field is another one's bytes. The "
        "region is refused, or told apart and served where it is.",
        "back-end",
    )
    right = back_end(given.ring, given.revision).answer(replace(vector, given=given))
    assert isinstance(right, Recovered), vector.id
    apart = replace(right, region=moved(right.region), region_mask=moved(right.region_mask))
    yield replace(vector, flags=("hostile", "layout"), outcomes=(*vector.outcomes, Outcome({}, apart)))
