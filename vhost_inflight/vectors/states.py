"""State vectors: a life, cut off after each store; its recovery, cut off after each store; and that one's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations

from model import protocol
from model.interpret import Sizes
from model.protocol import Subject
from proofs.verdicts import recorded_folder
from vhost_inflight.vectors.form import PARTS, Given, Outcome, Recovered, Store, Vector
from vhost_inflight.vectors.images import STYLES, Images
from vhost_inflight.vectors.lives import Life
from vhost_inflight.vectors.notes import note_of
from vhost_inflight.vectors.scripts import Script
from vhost_inflight.vectors.served import BackEnd, Process

__all__ = [
    "Cut",
    "Memory",
    "acceptable",
    "back_end",
    "cut_again",
    "ended",
    "lived",
    "matched_choices",
    "outcomes",
    "state_vectors",
    "vector_of",
]

_MANY = 4
_LARGE, _FEW, _HUGE = 16, 2, 512
_TELLING = frozenset({("split.fetch.2", 3), ("split.supply.5", 1), ("split.supply.6", 1), ("packed.fetch.7", 3),
                      ("packed.supply.7", 2), ("packed.supply.9a", 1)})  # fmt: skip
"""On a ring of 16 and more a life is cut off at the first two times of each step: an initialisation has many. On one of
512 and more, where a vector has up to ten megabytes, where most can go wrong: step and time."""


def _taken(script: Script, step: str, count: int) -> bool:
    if script.cuts is not None:
        return _short(step, count) in script.cuts
    if script.size >= _HUGE:
        return (step, count) in _TELLING
    return count <= _FEW or script.size < _LARGE


def _short(step: str, count: int) -> str:
    step = step.removeprefix("split.").removeprefix("packed.").replace("driver.", "")
    return f"{step}{f'-{count}' if count > 1 else ''}"


class Memory:
    """The bytes of a region and a ring, as stores change them."""

    def __init__(self, parts: Mapping[str, bytes]) -> None:
        """Begin with these bytes."""
        self.parts = {name: bytearray(data) for name, data in parts.items()}

    def store(self, stores: Iterable[Store]) -> bool:
        """Make these stores; whether they changed anything."""
        changed = False
        for store in stores:
            if store.part != "call":
                at = slice(store.offset, store.offset + len(store.data))
                changed |= self.parts[store.part][at] != store.data
                self.parts[store.part][at] = store.data
        return changed

    def given(self, ring: str, revision: str, sizes: Sizes, images: Images) -> Given:
        """Give what a back-end finds here: a base as QEMU sends it, where it does not have to be right."""
        region, parts = bytes(self.parts["region"]), {name: bytes(self.parts[name]) for name in PARTS[ring]}
        if ring == "split":
            base = int.from_bytes(parts["used"][2:4], "little")
        elif int.from_bytes(region[8:10], "little"):
            base = 0x80008000
        else:
            half = sizes.first % sizes.size | (1 - sizes.first // sizes.size % 2) << 15
            base = half << 16 | half
        numbers = images.numbers(images.read(images.machine.initial(), self.parts)) if images.style.far else ()
        return Given(ring, revision, sizes.size, sizes.entries, region, parts, base, len(region),
                     memory=images.style.memory(numbers, ring))  # fmt: skip


@cache
def back_end(ring: str, revision: str, gaps: tuple[tuple[str, str], ...] = ()) -> BackEnd:
    """Give the back-end that follows the text, with some choices."""
    return BackEnd(Subject.of(ring, revision, dict(gaps)))


@cache
def acceptable(ring: str, revision: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Give the choices, one at a time, with which the text has every property that it has without them."""
    rows = json.loads((recorded_folder(ring) / "verdicts.json").read_text(encoding="utf-8"))
    broken: dict[tuple[tuple[str, str], ...], set[str]] = {}
    for row in rows:
        if row["revision"] == revision:
            found = broken.setdefault(tuple(row["gaps"].items()), set())
            found |= {row["property"]} if row["verdict"] == "violated" else set()
    sound = [gaps for gaps, names in broken.items() if gaps and names <= broken[()]]
    return tuple(gaps for gaps in sound if gaps[0][0] not in _NO_OTHER_ANSWER)


_NO_OTHER_ANSWER = ("region-size", "fresh-used-idx")
"""Gaps whose choices answer nothing otherwise: a region is given with its size, and what a fresh one that begins at 0
costs is a walk over an empty list, up to 65535 times."""


@cache
def _kinds(ring: str, revision: str) -> tuple[list[tuple[tuple[str, str], ...]], list[tuple[tuple[str, str], ...]]]:
    """Give those of them that leave the same bytes at every crash, and those with a recovery to match what they leave.

    The answer of the former to any bytes is acceptable. That of the latter is so for a back-end that makes the choice
    in serving, too: with one store for two fields (settle=wide) nothing has to tell whether the second was made, and
    bytes that only a back-end with two stores can leave are told apart by nothing.
    """
    text = back_end(ring, revision).table

    def same(gaps: tuple[tuple[str, str], ...], *, recovery: bool) -> bool:
        """Whether all steps of recovery are those of the text, or all others."""
        steps = back_end(ring, revision, gaps).table.steps
        names = {name for name, step in (text.steps | steps).items() if (step.procedure == "recover") == recovery}
        return all(text.steps.get(name) == steps.get(name) for name in names)

    alike = [gaps for gaps in acceptable(ring, revision) if same(gaps, recovery=False)]
    return alike, [gaps for gaps in acceptable(ring, revision) if gaps not in alike and not same(gaps, recovery=True)]


def matched_choices(ring: str, revision: str) -> list[tuple[tuple[str, str], ...]]:
    """Give the acceptable choices of serving that have a recovery of their own."""
    return _kinds(ring, revision)[1]


def outcomes(vector: Vector, own: tuple[tuple[str, str], ...] = ()) -> tuple[Outcome, ...]:
    """Give the answers that are right: the default's, and what an acceptable choice makes another.

    `own`: the choice of the process that died; its successor has it too.
    """
    ring, revision = vector.ring, vector.revision
    found = [Outcome({}, back_end(ring, revision).answer(vector))]
    alike, matched = _kinds(ring, revision)
    for gaps in dict.fromkeys((*([own] if own else []), *alike, *matched)):
        answer = back_end(ring, revision, gaps).answer(vector)
        if all(answer != one.answer for one in found):
            found.append(Outcome(dict(gaps), answer, said=gaps in matched and gaps != own))
    first = found[0].answer
    if revision == "v6" and isinstance(first, Recovered) and 1 < len(first.resubmit) <= _MANY:
        any_order = ({"resubmit-order": "any"}, sorted(permutations(first.resubmit)))
        found += [Outcome(any_order[0], replace(first, resubmit=r)) for r in any_order[1] if r != first.resubmit]
    return tuple(found)


def vector_of(name: str, given: Given, step: str | None, flags: Sequence[str]) -> Vector:
    """Make a state vector of what a crash left, without its answers."""
    note, severity = note_of(step or "start")
    return Vector(name, "state", _section(given, step), step, tuple(dict.fromkeys(flags)), note, severity, given, ())


def _section(given: Given, step: str | None) -> str:
    """Give the place in the text of a step."""
    if step is None:
        return "reconnecting"
    table = protocol.table(Subject(given.ring, given.revision))
    return table.step(step).text.partition("; gap")[0] if step in table.steps else "reconnecting"


@dataclass(frozen=True)
class Cut:
    """Where a life was cut off: after which step, the how manieth time, and what was left."""

    step: str
    count: int
    given: Given

    @property
    def short(self) -> str:
        """A name for it, in an id."""
        return _short(self.step, self.count)


def lived(ring: str, revision: str, script: Script) -> tuple[Life, Sizes]:
    """Play a script."""
    entries = script.entries or script.size
    sizes = Sizes(script.size, entries, script.first)
    made = back_end(ring, revision, script.gaps).made(sizes, STYLES[script.style])
    return Life(made.machine, made.images).play(script.words), sizes


def _cuts(ring: str, revision: str, script: Script) -> Iterator[Cut]:
    life, sizes = lived(ring, revision, script)
    memory = Memory(life.images.parts(life.machine.initial()))
    count: dict[str, int] = {}
    if script.size < _HUGE and script.cuts is None:
        yield Cut("", 1, memory.given(ring, revision, sizes, life.images))
    for phase in life.phases:
        for event in phase.events:
            changed = memory.store(event.stores)
            back_ends = event.step.startswith(ring)
            ready = event.step in ("driver.make.3", "driver.make.head")
            if changed and (back_ends or ready):
                count[event.step] = count.get(event.step, 0) + 1
                if _taken(script, event.step, count[event.step]):
                    yield Cut(event.step, count[event.step], memory.given(ring, revision, sizes, life.images))


def ended(ring: str, revision: str, script: Script) -> Cut:
    """Give what is left where a script ends."""
    life, sizes = lived(ring, revision, script)
    memory = Memory(life.images.parts(life.machine.initial()))
    events = [event for phase in life.phases for event in phase.events]
    memory.store(store for event in events for store in event.stores)
    return Cut(events[-1].step, 1, memory.given(ring, revision, sizes, life.images))


def cut_again(cut: Cut) -> Iterator[Cut]:
    """Give where a recovery from a cut can be cut off: after each store that changed something."""
    ring, revision = cut.given.ring, cut.given.revision
    process = Process(back_end(ring, revision), cut.given)
    process.recovered()
    memory = Memory({"region": cut.given.region, **cut.given.ring_memory})
    count: dict[str, int] = {}
    for event in process.events:
        if memory.store(event.stores):
            count[event.step] = count.get(event.step, 0) + 1
            given = replace(cut.given, region=bytes(memory.parts["region"]),
                            ring_memory={name: bytes(memory.parts[name]) for name in PARTS[ring]})  # fmt: skip
            if ring == "split":
                given = replace(given, base=int.from_bytes(given.ring_memory["used"][2:4], "little"))
            elif int.from_bytes(given.region[8:10], "little"):
                given = replace(given, base=0x80008000)
            yield Cut(event.step, count[event.step], given)


def state_vectors(
    ring: str, revision: str, script: Script, seen: dict[object, int], *, crashes: int = 3
) -> Iterator[Vector]:
    """Give the state vectors of a script: up to so many crashes, and no bytes that were there before.

    `seen` has these, each with how many crashes it was followed by.
    """
    flags = [*script.flags, *(f"gap-{gap}-{choice}" for gap, choice in script.gaps)]
    for cut in _cuts(ring, revision, script):
        name = f"{ring}-{revision}-{script.name}-{cut.short or 'fresh'}"
        yield from _vectors(name, cut, flags, script, seen=seen, crashes=crashes)


def _vectors(
    name: str, cut: Cut, flags: list[str], script: Script, *, seen: dict[object, int], crashes: int
) -> Iterator[Vector]:
    key = (cut.given.revision, cut.given.queue_size, cut.given.region, tuple(cut.given.ring_memory.items()))
    before = seen.get(key, 0)
    if before >= crashes:
        return
    seen[key] = crashes
    if not before:
        vector = vector_of(name, cut.given, cut.step or None, flags)
        yield replace(vector, outcomes=outcomes(vector, script.gaps))
    if crashes > 1:
        for number, further in enumerate(cut_again(cut)):
            more = [*flags, "recovery-cut", *(["third-crash"] if "recovery-cut" in flags else [])]
            if number < _LONG and script.size < _LARGE:
                yield from _vectors(f"{name}-{further.short}", further, more, script, seen=seen, crashes=crashes - 1)


_LONG = 40
"""Stores of a recovery after which it is cut off: an initialisation has as many as the region has entries."""
