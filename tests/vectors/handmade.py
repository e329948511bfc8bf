"""A handful of vectors made by hand, small enough to be read; the sets that are shipped are made from the model."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from vhost_inflight.vectors.form import Given, Lived, Meanwhile, Op, Outcome, Recovered, Refused, Store, Vector, dump

SPLIT_HEADER, SPLIT_ENTRY = "<QHHHH", "<B5xHQ"


def split_region(last_batch_head: int, used_idx: int, *entries: tuple[int, int, int]) -> bytes:
    """Make a region: entries are inflight, next, counter."""
    header = struct.pack(SPLIT_HEADER, 0, 1, len(entries), last_batch_head, used_idx)
    return header + b"".join(struct.pack(SPLIT_ENTRY, *entry) for entry in entries)


def split_given(region: bytes, avail: int, used: int, used_event: int = 0) -> Given:
    """Give a state of a split ring of 2: entries 0 and 1 of each ring name heads 0 and 1."""
    table = b"".join(struct.pack("<QIHH", 0x1000 * (head + 1), 512, 2, 0) for head in range(2))
    parts = {
        "descriptors": table,
        "available": struct.pack("<HHHHH", 0, avail, 0, 1, used_event),
        "used": struct.pack("<HHIIIIH", 0, used, 0, 0, 1, 0, 0),
    }
    return Given("split", "merged", 2, 2, region, parts, used, len(region))


def vector(name: str, given: Given, answer: Recovered | Refused | tuple[Lived, ...], *ops: Op) -> Vector:
    """Give a vector; a trace where there are ops."""
    mask = {"region": b"\xff" * len(given.region)} | {part: b"\xff" * len(c) for part, c in given.ring_memory.items()}
    return Vector(
        f"{given.ring}-{name}", "trace" if ops else "state", "reconnecting, 1(b)", None, ("flag",), "A mistake.",
        "corrupts", given, (Outcome({}, answer),), ops, mask | {"call": b"\xff"} if ops else {},
    )  # fmt: skip


def recovered(given: Given, region: bytes, resubmit: tuple[int, ...], next_avail: int, counter: int) -> Recovered:
    """Give the answer to a split state, of which all bytes count."""
    masks = {name: b"\xff" * len(part) for name, part in given.ring_memory.items()}
    used = struct.unpack_from("<H", given.ring_memory["used"], 2)[0]
    return Recovered(resubmit, next_avail, used, counter, region, b"\xff" * len(region), given.ring_memory, masks)


PUBLISHED = split_given(split_region(0, 0, (1, 0, 5), (1, 0, 4)), 2, 1)
"""The batch of head 0 was published, and not yet cleared; head 1 is inflight."""

AFTER_PUBLISHED = split_region(0, 1, (0, 0, 5), (1, 0, 4))

FETCHED = split_given(split_region(0, 0, (1, 0, 1), (1, 0, 0)), 2, 0)
"""Both heads are inflight, head 1 was fetched first."""

HOSTILE = replace(PUBLISHED, region=PUBLISHED.region[:8] + b"\x07" + PUBLISHED.region[9:])
"""The version is 7."""

IDLE = split_given(split_region(0, 0, (0, 0, 0), (0, 0, 0)), 0, 0)
"""Nothing was ever made available."""

_MAKE = Op("driver", stores=(Store("available", 2, b"\x01\x00"),))
_FETCHED = (
    Store("region", 16 + 8, b"\x09" + bytes(7)),
    Store("region", 16, b"\x01"),
)
_SUPPLIED = (
    Store("used", 8, b"\x00\x02\x00\x00"),
    Store("used", 2, b"\x01\x00"),
    Store("region", 16, b"\x00"),
    Store("region", 14, b"\x01\x00"),
    Store("call", 0, b"\x01"),
)

COUNTED = replace(IDLE, region=split_region(0, 0, (0, 0, 0), (1, 0, 8)))
"""Head 1 is inflight, and was the ninth that was fetched: the next one is the tenth."""


def life() -> Vector:
    """Give a life: recover, fetch head 0, supply it; the driver falls asleep right before the batch is published."""
    given = replace(COUNTED, ring_memory={**COUNTED.ring_memory, "available": struct.pack("<HHHHH", 0, 1, 1, 0, 9)})
    sleep = Meanwhile(("used", 2), (Store("available", 8, b"\x00\x00"),))
    ops = (
        Op("start"), Op("driver", stores=(Store("available", 2, b"\x02\x00"),)), Op("fetch"),
        Op("supply", batch=((0, 512),), meanwhile=(sleep,)),
    )  # fmt: skip
    lived = (
        Lived(None, (Store("call", 0, b"\x01"),)),
        Lived(0, _FETCHED, ((0, 1),)),
        Lived(None, _SUPPLIED, ((0, 1), (1, 2), (2, 3), (1, 4))),
    )
    return vector("life", given, lived, *ops)


def all_of_them() -> list[Vector]:
    """Give all of them."""
    return [
        vector("published", PUBLISHED, recovered(PUBLISHED, AFTER_PUBLISHED, (1,), 2, 5)),
        vector("fetched", FETCHED, recovered(FETCHED, FETCHED.region, (1, 0), 2, 2)),
        vector("hostile", HOSTILE, Refused("back-end")),
        life(),
    ]


def written(folder: Path, vectors: list[Vector] | None = None) -> Path:
    """Write them to a file, and give its name."""
    file = folder / "vectors.jsonl"
    lines = dump(all_of_them() if vectors is None else vectors)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file
