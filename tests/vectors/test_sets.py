"""The vectors themselves: made anew they are the same bytes, and each mistake fails those that the record names."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from model import protocol
from model.protocol import Subject
from proofs.challenges import fates
from proofs.challenges.mutating import drops
from refimpl.layout import region_type
from vhost_inflight.judging.play.dumping import state_at
from vhost_inflight.judging.play.schedule import load
from vhost_inflight.recover import parse, recover
from vhost_inflight.recover.answer import culprit
from vhost_inflight.vectors import form, measure, sets
from vhost_inflight.vectors.checking.compare import judge
from vhost_inflight.vectors.form import Recovered, Refused, Vector
from vhost_inflight.vectors.messages import Answered
from vhost_inflight.vectors.mistakes import SENTENCES
from vhost_inflight.vectors.scripts import random_lives, scripts
from vhost_inflight.vectors.served import BackEnd
from vhost_inflight.vectors.states import back_end, lived, state_vectors
from vhost_inflight.vectors.writing import expected, write

SMALL = Path(form.__file__).parent / "small" / "vectors.jsonl"
LIMIT = 1_000_000
WIDE = ("settle=wide",)
REVISIONS = (*sets.PROVED, ("split", "v6"))


@pytest.fixture(scope="module")
def small() -> dict[str, Vector]:
    """Give the committed set, by id."""
    return {v.id: v for v in form.load(SMALL.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def back_ends() -> dict[str, BackEnd]:
    """Give every mistaken back-end, by its name in the record."""
    return {name: one for subject in REVISIONS for name, one in measure.mistaken(*subject).items()}


def test_small_made_anew() -> None:
    """The committed set is what the model gives now, byte for byte, and no more than a megabyte."""
    made = "".join(f"{line}\n" for line in form.dump(sets.vectors("small")))
    assert made == SMALL.read_text(encoding="utf-8"), "vhost-inflight vectors --size small makes another one"
    assert len(made) <= LIMIT


def test_form(small: dict[str, Vector]) -> None:
    """Each vector is as the schema says, has an id of its own, and comes back from JSON as it was."""
    validator = Draft202012Validator(form.schema())
    lines = SMALL.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(small)
    for line in lines:
        validator.validate(json.loads(line))
    assert lines == list(form.dump(small.values()))


def test_kinds(small: dict[str, Vector]) -> None:
    """Both rings have states, traces, refusals, several queues; the flags say what else is in the set."""
    kinds = {(v.ring, v.kind) for v in small.values()}
    assert kinds == {(ring, kind) for ring in form.RINGS for kind in ("state", "trace")}
    flags = {flag for v in small.values() for flag in v.flags}
    wanted = {"wrap", "index-wrap", "full-ring", "whole-ring", "chain", "batch", "second-crash", "used-ring", "hostile"}
    assert wanted | {"queues", "rounded", "unrounded", "erratum", "meanwhile", "layout", "counter"} <= flags


def test_same_seed() -> None:
    """The same seed draws the same lives, another one others."""
    draw = [list(random_lives("packed", seed, 5)) for seed in (3, 3, 4)]
    assert draw[0] == draw[1] != draw[2]
    script = next(random_lives("split", 3, 1))
    first, again = ([*islice(form.dump(state_vectors("split", "merged", script, {}, crashes=1)), 5)] for _ in "ab")
    assert first == again


def test_life_agrees(small: dict[str, Vector]) -> None:
    """What the model's back-end does with the bytes of a life is what the life did: memory is the same at its end."""
    life, _ = lived("packed", "hardened", next(s for s in scripts("packed") if s.name == "chain"))
    vector = small["packed-hardened-life-chain"]
    given = {"region": vector.given.region, **vector.given.ring_memory}
    memory = {name: bytearray(data) for name, data in given.items()}
    answers = iter(vector.outcomes[0].answer)  # type: ignore[arg-type]  # of a trace it is a tuple
    for op in vector.ops:
        for store in op.stores if op.op == "driver" else next(answers).stores:
            memory[store.part][store.offset : store.offset + len(store.data)] = store.data
    ended = life.images.parts(life.state)
    masked = ("region", "descriptors", "driver_event")
    assert {n: bytes(memory[n]) for n in masked} == {n: ended[n] for n in masked}


# Mistakes


def test_record_is_complete(back_ends: dict[str, BackEnd]) -> None:
    """Every mutant with a run that kills it, and every known mistake, fails a vector."""
    record = measure.recorded()
    assert set(record) == set(back_ends)
    assert [name for name, ids in record.items() if not ids] == []
    killed = {(ring, f.revision, f.mutant) for ring in form.RINGS for f in fates.load(ring) if f.killed_by}
    assert len(killed) == sum("mistake" not in name for name in record)
    assert {name.rpartition("mistake ")[2] for name in record if "mistake" in name} == set(SENTENCES)


def test_mistakes_fail(back_ends: dict[str, BackEnd], small: dict[str, Vector]) -> None:
    """Each mistake fails the first vector that the record names, where that is in the small set; the text passes it."""
    tried = 0
    for name, ids in measure.recorded().items():
        vector = small.get(ids[0])
        if vector is None:
            assert "v6" in name, f"{name}: the small set misses it"
            continue
        tried += 1
        assert measure.fails(back_ends[name], vector), f"{name} passes {vector.id}"
        assert not measure.fails(back_end(vector.ring, vector.revision), vector), vector.id
        assert name in vector.catches
    assert tried > 100


def test_a_right_answer_passes(small: dict[str, Vector]) -> None:
    """A vector that nobody could fail, or that nobody could pass, would be worth nothing: both are tried."""
    for vector in small.values():
        for outcome in vector.outcomes:
            assert not judge(vector, Answered(outcome.answer), WIDE if outcome.said else ()).bad, vector.id
        right = vector.outcomes[0].answer
        if isinstance(right, Recovered):
            region = bytes(b ^ m for b, m in zip(right.region, right.region_mask, strict=True))
            assert judge(vector, Answered(replace(right, region=region))).bad, vector.id
        elif isinstance(right, tuple):
            assert judge(vector, Answered(tuple(replace(one, stores=()) for one in right))).bad, vector.id


def test_page() -> None:
    """The table of mistakes and vectors is what the record says."""
    page = Path("docs/vectors-mutants.md").read_text(encoding="utf-8")
    assert page == measure.page(), "python -m vhost_inflight.vectors.measure page > docs/vectors-mutants.md"


@pytest.mark.campaign
def test_measured_anew() -> None:
    """Measured anew, each mistake of v6 too fails the vectors that the record names."""
    standard = {v.id: v for v in sets.vectors("standard")}
    assert {v.id for v in sets.vectors("small")} <= set(standard)
    record = measure.recorded()
    for subject in REVISIONS:
        for name, one in measure.mistaken(*subject).items():
            assert all(measure.fails(one, standard[i]) for i in record[name]), name


# Errata, and a choice


def test_errata(back_ends: dict[str, BackEnd], small: dict[str, Vector]) -> None:
    """Each has vectors: states of its recorded run, and where an order is at fault, traces; who has it fails."""
    flagged: dict[str, set[str]] = {}
    for vector in small.values():
        for name in set(protocol.errata()) & set(vector.flags if "erratum" in vector.flags else ()):
            flagged.setdefault(name, set()).add(vector.id)
    assert set(flagged) == set(protocol.errata())
    for name, (kinds, mistaken) in DEFECTS.items():
        for one in mistaken:
            failed = {small[i].kind for i in flagged[name] if one.startswith(f"{small[i].ring} {small[i].revision}")
                      and measure.fails(back_ends[one], small[i])}  # fmt: skip
            assert failed == kinds, f"{name}: {one}"


DEFECTS = {
    "no-order": ({"state"}, ["split merged: guard split.reconnect.2: it is the next one in order",
                             "packed hardened: guard packed.reconnect.4: it is the next one in order"]),
    "whole-ring": ({"state"}, ["packed hardened: edit compare-wrap-counters"]),
    "marked-used": ({"state", "trace"}, ["packed hardened: edit unmark-used"]),
    "half-settled": ({"state"}, ["packed hardened: edit settled-by-free-head"]),
    "half-rolled-back": ({"trace"}, ["packed hardened: edit roll-back-free-head-last"]),
}  # fmt: skip
"""By defect, which kinds of its vectors a back-end that has it fails, and such back-ends."""

ORDERS = [
    "split merged: swap split.fetch.counter, split.fetch.2",
    "packed hardened: swap packed.supply.9a, packed.supply.9b",
]


def test_orders_of_errata(back_ends: dict[str, BackEnd], small: dict[str, Vector]) -> None:
    """Where what serves is at fault, its life shows that."""
    for name, life in zip(ORDERS, ("split-merged-life-erratum-no-order", "packed-hardened-life-erratum-half-settled"),
                          strict=True):  # fmt: skip
        assert measure.fails(back_ends[name], small[life]), name


@pytest.mark.parametrize("name", ["whole-ring", "whole-ring-lost", "marked-used", "half-settled"])
def test_errata_are_the_recorded_runs(name: str, small: dict[str, Vector]) -> None:
    """The bytes are those in which the recorded run of the published text crashes, but for where buffers are."""
    schedule = load(Path("proofs/recorded/packed/errata") / f"{name}.json")
    state = state_at(schedule, "crash:1")
    given = small[f"packed-hardened-erratum-{name}"].given
    regions = [_fields(data, given.queue_size) for data in (bytes.fromhex(state["region"]), given.region)]
    assert regions[0] == regions[1]
    rings = bytes.fromhex(state["ring_memory"]["descriptors"]), given.ring_memory["descriptors"]
    marks = [[ring[at] & 0x80 for at in range(14, len(ring), 16)] + [ring[at] & 0x80 for at in range(15, len(ring), 16)]
             for ring in rings]  # fmt: skip
    assert marks[0] == marks[1]


def _fields(data: bytes, entries: int) -> list[int]:
    """Give the fields of a packed region's header, and of its entries those that no buffer is in."""
    region: Any = region_type("packed", "hardened", entries).from_buffer_copy(data)
    header = [getattr(region, name) for name, kind in region._fields_ if not hasattr(kind, "_length_")]
    names = ("inflight", "next", "last", "num", "counter", "id")
    return header + [getattr(entry, name) for entry in region.desc for name in names]


def test_a_choice_that_is_said(small: dict[str, Vector]) -> None:
    """A back-end with one store for two fields passes if it says so, and only so; a mistake fails all the same."""
    subject = Subject.of("packed", "hardened", {"settle": "wide"})
    wide, text = back_end("packed", "hardened", (("settle", "wide"),)), back_end("packed", "hardened")
    asked = [v for v in small.values() if v.ring == "packed" and "hostile" not in v.flags]
    assert [v.id for v in asked if measure.fails(wide, v, WIDE)] == []
    assert [v.id for v in asked if measure.fails(text, v, WIDE)] == []
    unsaid = {v.id for v in asked if measure.fails(wide, v)}
    assert (
        unsaid
        == {v.id for v in asked if any(o.said for o in v.outcomes)}
        == {v.id for v in asked if measure.fails(wide, v, ("settle=plain", "wide"))}
    )
    assert {small[i].kind for i in unsaid} == {"state", "trace"}
    for step in ("packed.reconnect.3", "packed.reconnect.1c1", "packed.reconnect.2b", "packed.supply.9b"):
        (drop,) = (m for m in drops(protocol.table(subject), (), "packed.supply.7") if m.name == f"drop {step}")
        mistaken = BackEnd(subject, drop.edits)
        assert any(measure.fails(mistaken, v, WIDE) for v in asked), step


# Hostile bytes


def test_hostile(small: dict[str, Vector]) -> None:
    """The reference, which knows nothing of the vectors, refuses what they say, and blames the same one."""
    asked = 0
    for vector in small.values():
        answer = vector.outcomes[0].answer
        if isinstance(answer, Refused):
            asked += 1
            assert _blamed(vector) == answer.culprit, vector.id
    assert asked > 40


def _blamed(vector: Vector) -> str | None:
    refused = recover(parse(vector.given.state())).refused
    return None if refused is None else culprit(refused)


# Files


def test_written(tmp_path: Path, small: dict[str, Vector]) -> None:
    """A set is written as JSON lines, lines of words with what is expected, and raw bytes."""
    some = list(islice(small.values(), 3))
    counted = write(iter(some), tmp_path, "small", 0)
    assert counted.total() == 3
    assert form.load((tmp_path / "vectors.jsonl").read_text(encoding="utf-8")) == some
    words = (tmp_path / "vectors.vec").read_text(encoding="utf-8").splitlines()
    assert words[0] == f"run {some[0].id} state"
    assert words.count("end") == 3 + sum(len(v.outcomes) for v in some)
    assert (tmp_path / "raw" / f"{some[0].id}.region").read_bytes() == some[0].given.region
    assert json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))["vectors"] == dict(counted)


def test_words(small: dict[str, Vector]) -> None:
    """What is expected has a mask for each part, and the pairs of a life."""

    def lines(of: str) -> Iterator[str]:
        return expected(small[of])

    assert sum(line.startswith("mask ") for line in lines("split-merged-one-fetch.2")) == 4
    assert any(line.startswith("before ") for line in lines("split-merged-life-one"))
    assert "refused split-merged-hostile-version back-end" in lines("split-merged-hostile-version")
