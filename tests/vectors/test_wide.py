"""Copies of the recovery in C that go wrong only where numbers, rings, regions or batches are larger than usual."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.vectors import c
from vhost_inflight.vectors import measure
from vhost_inflight.vectors.checking.asking import Checked, check
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.images import STYLES
from vhost_inflight.vectors.scripts import by_size, scripts
from vhost_inflight.vectors.sets import LONG_CHAIN, PROVED, vectors
from vhost_inflight.vectors.states import back_end, state_vectors
from vhost_inflight.vectors.traces import life_vectors

WANTED: Final = "if ((uint16_t)(*q->used_event - idx) < number)"
SMALLER: Final = "return a->counter < b->counter ? -1 : 1;"
HEAD: Final = "*head = q->avail->ring[q->last_avail % q->size];"
SLOT: Final = "slot = (uint16_t)(idx + i) % q->size;"
ASKED: Final = "STORE(*q->avail_event, q->last_avail); /*"
ENABLED: Final = "STORE(q->device_event->flags, EVENT_ENABLE); /*"
ROUND: Final = "if (from.slot >= q->size) {\n        from.slot -= q->size;"
BEHIND: Final = "for (number = 1; number < q->size; number++) {"
FOUND: Final = "for (entry = 0; entry < q->entries; entry++) {\n        uint8_t inflight = q->packed->"
INDIRECT: Final = "if (desc.flags & DESC_NEXT)\n            return refuse"
IDS: Final = "if (!(d.flags & DESC_NEXT) && q->has_id[d.id])"

MISTAKES: Final = (
    ("split notified", WANTED, "if (*q->used_event == idx)"),
    ("split notified", WANTED, "if (*q->used_event == (uint16_t)(idx + number - 1))"),
    ("split notified", WANTED, "if ((uint16_t)(*q->used_event - idx) < 1)"),
    ("split notified", WANTED, "if (*q->used_event >= idx && *q->used_event < idx + number)"),
    ("split notified", ASKED, f"if (q->last_avail) {ASKED}"),
    ("split larger-region-laps", HEAD, HEAD.replace("q->size", "q->entries")),
    ("split larger-region-laps", SLOT, SLOT.replace("q->size", "q->entries")),
    ("split wide", "ring[slot].len, batch", "ring[slot].len, (uint16_t)batch"),
    ("split mixed-chains", INDIRECT, INDIRECT.replace("DESC_NEXT", "DESC_NEXT || followed > 1")),
    ("split counters-32", SMALLER, SMALLER.replace("a->", "(uint32_t)a->").replace("b->", "(uint32_t)b->")),
    ("split counters-32", SMALLER, SMALLER.replace("a->", "(int32_t)a->").replace("b->", "(int32_t)b->")),
    ("packed counters-32", SMALLER, "return (int)(a->counter - b->counter);"),
    ("split counters-32", "STORE(entry->counter, q->", "STORE(entry->counter, (uint32_t)q->"),
    ("packed counters-32", "STORE(head->counter, q->", "STORE(head->counter, (uint32_t)q->"),
    ("split size-512-end", "ring[slot].id, head)", "ring[slot].id, (uint8_t)head)"),
    ("split size-512-end", HEAD, HEAD.replace("q->last_avail", "(q->last_avail & 0xff)")),
    ("packed notified", ENABLED, f"if (q->counter) {ENABLED}"),
    ("packed larger-region-laps", ROUND, ROUND.replace("q->size", "q->entries")),
    ("packed wide", "].addr, d.addr)", "].addr, (uint32_t)d.addr)"),
    ("packed wide", "].len, d.len)", "].len, (uint16_t)d.len)"),
    ("packed long-chain", "STORE(head->num, ++number)", "STORE(head->num, (uint8_t)++number)"),
    ("packed long-chain", "].id, d.id)", "].id, (uint8_t)d.id)"),
    ("packed long-chain", FOUND, FOUND.replace("q->entries", "q->entries && entry < 128")),
    ("packed long-chain", BEHIND, BEHIND.replace("q->size", "q->size && number < 128")),
    ("packed far-ids", "batch[i].id = region->desc[last].id;", "batch[i].id = region->desc[first].id;"),
    ("packed far-ids", IDS, IDS.replace("q->has_id[d.id]", "(d.id >= q->size || q->has_id[d.id])")),
)
"""By life, what is right in the source, and what is wrong. `++number` is stored once: the macro stores a value once."""

NAMES: Final = tuple(dict.fromkeys(name for name, _, _ in MISTAKES))


@cache
def of_life(name: str) -> tuple[Vector, ...]:
    """Give the vectors of a life."""
    ring, _, about = name.partition(" ")
    revision = dict(PROVED)[ring]
    script = next(s for s in (*scripts(ring), LONG_CHAIN, by_size(ring, 512)) if s.name == about)
    return (*state_vectors(ring, revision, script, {}, crashes=1), *life_vectors(ring, revision, script))


def checked(program: Path, asked: Sequence[Vector]) -> Checked:
    """Put vectors to a program that speaks the text form."""
    return check([str(program)], list(asked), "text", 30, lambda _: None)


@pytest.mark.parametrize(("life", "right", "wrong"), MISTAKES)
def test_each_mistake_fails_its_life(life: str, right: str, wrong: str, tmp_path: Path) -> None:
    """It may die too: a slot past the ring's end is no memory that it has."""
    found = checked(c.edited(tmp_path, right, wrong), of_life(life))
    assert found.count("fail") + found.count("reject") + found.count("wedged"), wrong


def test_the_recovery_in_c_and_the_model_pass_them(tmp_path: Path) -> None:
    told = [vector for name in NAMES for vector in of_life(name)]
    found = checked(c.built(tmp_path), told)
    assert [(bad.vector.id, bad.differs) for bad in found.bad] == []
    assert found.count("pass") == len(told)
    assert [v.id for v in told if measure.fails(back_end(v.ring, v.revision), v)] == []


@pytest.mark.campaign  # all of standard is made for it
def test_standard_has_them() -> None:
    """The set that catches every mistake asks all this; of states that are the same bytes, one has the name."""
    standard = {asked(v) for v in vectors("standard")}
    assert [v.id for name in NAMES for v in of_life(name) if asked(v) not in standard] == []


def asked(vector: Vector) -> tuple[object, ...]:
    """Give what a back-end is told."""
    given = vector.given
    return vector.revision, given.queue_size, given.region, *given.ring_memory.values(), given.memory, vector.ops


@pytest.mark.parametrize("name", sorted(STYLES))
def test_what_is_written_is_read(name: str) -> None:
    """A number comes back from the address and the length that stand for it."""
    style = STYLES[name]
    for number in (1, 2, 300, 32768):
        assert style.number(style.address(number)) == number
        assert style.number_of_length(style.length(number)) == number
    assert (style.address(1) > 0xFFFFFFFF) == (style.length(1) > 0xFFFF) == (name == "wide")
