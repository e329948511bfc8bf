"""Several queues: what is shown of their regions, stores and variables, and what must not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from model import layout, protocol
from model.both.alternatives import in_, new
from model.both.words import ENTRIES
from model.layout import Region
from model.record import Var, Vars
from model.steps import Add, Edit, Replace, Table
from proofs import queues, report
from proofs.challenges.selfcheck import as_if_shown
from proofs.induction.engine import Outcome
from proofs.induction.proof import Proof
from proofs.induction.show import hints, queries, solve
from proofs.verdicts import subjects

SPLIT, PACKED = protocol.Subject("split", "merged"), protocol.Subject("packed", "hardened")
DEVICE = protocol.Subject.of("split", "merged", {"counter-scope": "device-greatest"})
LAYOUTS = [layout.region(ring, revision) for ring in layout.RINGS for revision in layout.REVISIONS]


# Regions.


@pytest.mark.parametrize("region", LAYOUTS, ids=lambda r: f"{r.ring} {r.revision}")
@pytest.mark.parametrize("alignment", queues.ALIGNMENTS)
def test_regions_are_apart(region: Region, alignment: int) -> None:
    """For any number of queues and entries, as Z3 says; and on some numbers, byte by byte."""
    assert list(queues.regions(region, alignment)) == []
    for entries in (1, 3, 4):
        taken: set[int] = set()
        for queue in range(4):
            start = region.start(queue, entries, alignment=alignment)
            structure = region.size(entries, alignment=min(alignment, layout.C_ALIGNMENT))
            mine = set(range(start, start + structure))
            assert not taken & mine
            taken |= mine
        assert max(taken) + 1 == region.buffer(4, entries, alignment=alignment)


class WithoutHeader(Region):
    """The distance of two regions is that of their entries."""

    def size(self, entries: int, *, alignment: int = layout.ALIGNMENT) -> int:
        """Forget the header."""
        exact = entries * self.entry.size
        return exact + -exact % alignment


class RoundedDown(Region):
    """The distance is rounded down."""

    def size(self, entries: int, *, alignment: int = layout.ALIGNMENT) -> int:
        """Round down."""
        return self.offset(entries) - self.offset(entries) % max(128, alignment)


class OneEntryLess(Region):
    """The last entry of a region is in the next one."""

    def size(self, entries: int, *, alignment: int = layout.ALIGNMENT) -> int:
        """Forget an entry."""
        return super().size(entries - 1, alignment=alignment)


class StartsEarly(Region):
    """The distance is right, and each region but the first begins 8 bytes before it."""

    def start(self, queue: int, entries: int, *, alignment: int = layout.ALIGNMENT) -> int:
        """Begin too early: one byte of a stride for each queue."""
        return queue * (self.size(entries, alignment=alignment) - self.entry.size)


class SmallBuffer(Region):
    """The buffer lacks the last region's last byte."""

    def buffer(self, queues: int, entries: int, *, alignment: int = layout.ALIGNMENT) -> int:
        """Take one away."""
        return super().buffer(queues, entries, alignment=alignment) - 1


class EntriesInHeader(Region):
    """The entries begin 8 bytes before the header's end."""

    def offset(self, index: int) -> int:
        """Begin early."""
        return super().offset(index) - 8


LONGER, BEFORE = "longer than the distance", "begins before that of the queue before it ends"


@pytest.mark.parametrize("region", LAYOUTS, ids=lambda r: f"{r.ring} {r.revision}")
@pytest.mark.parametrize("alignment", queues.ALIGNMENTS)
@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (WithoutHeader, LONGER),
        (RoundedDown, LONGER),
        (OneEntryLess, LONGER),
        (StartsEarly, BEFORE),
        (SmallBuffer, "not inside the buffer"),
        (EntriesInHeader, "the header is not before the entries"),
    ],
)
def test_wrong_layouts_are_refused(region: Region, alignment: int, wrong: type[Region], fault: str) -> None:
    """Each way of computing offsets that lets two queues share bytes."""
    changed = wrong(region.ring, region.revision, region.header, region.entry)
    assert any(fault in said for said in queues.regions(changed, alignment))


# Stores.


def _changed(struct: layout.Struct, name: str, **changes: Any) -> layout.Struct:
    """Give a structure with one field changed."""
    return replace(struct, fields=tuple(replace(f, **changes) if f.name == name else f for f in struct.fields))


def _header(region: Region, name: str, **changes: Any) -> Region:
    return replace(region, header=_changed(region.header, name, **changes))


def _entry(region: Region, name: str, **changes: Any) -> Region:
    return replace(region, entry=_changed(region.entry, name, **changes))


@pytest.mark.parametrize(
    ("subject", "change", "stored"),
    [
        (SPLIT, lambda r: _header(r, "last_batch_head", ctype="uint8_t"), "region.last_batch_head"),
        (SPLIT, lambda r: _entry(r, "next", ctype="uint8_t"), "region.desc[].next"),
        (SPLIT, lambda r: _header(r, "used_idx", offset=15), "region.used_idx"),
        (SPLIT, lambda r: _entry(r, "counter", offset=12), "region.desc[].counter"),
        (SPLIT, lambda _: layout.region("split", "v6"), "region.desc[].counter"),
        (PACKED, lambda r: _entry(r, "addr", offset=32), "region.desc[].addr"),
        (PACKED, lambda r: _entry(r, "flags", ctype="uint8_t", offset=32), "region.desc[].flags"),
        (PACKED, lambda r: _header(r, "old_used_wrap_counter", offset=32), "region.old_used_wrap_counter"),
    ],
)
def test_a_store_that_is_no_field_is_refused(
    subject: protocol.Subject, change: Callable[[Region], Region], stored: str
) -> None:
    """An index of 8 bits, a field that is not there, one that reaches out of its header or entry."""
    table, right = protocol.table(subject), layout.region(subject.ring, "merged")
    assert list(queues.fields(right, table, table.recorded())) == []
    faults = list(queues.fields(change(right), table, table.recorded()))
    assert faults
    assert all(f" stores {stored}" in fault for fault in faults)


def _asked(subject: protocol.Subject, table: Table, step_id: str) -> Outcome:
    """Ask the solver about what a step of a table stores; all else is taken as shown."""
    outcome, proof = as_if_shown(subject.ring, [subject]), Proof(subject, table)
    mine = [q for q in queries(proof, hints(subject.ring)) if q.work == step_id and q.kind == "fits"]
    outcome.asked[subject] = [q for q in outcome.asked[subject] if q.work != step_id] + mine
    results = solve(proof, mine, hints(subject.ring), tries=((0.05, 0),))
    outcome.results |= {result.query.key: result for result in results}
    return outcome


def _at_entries(s: Any) -> None:
    s.region.desc[ENTRIES].inflight = 1


def _at_head(s: Any) -> None:
    s.region.desc[s.fetch.head].inflight = 1


def _before_the_first(s: Any) -> None:
    s.region.desc[s.fetch.head - 1].inflight = 1


@pytest.mark.parametrize(("do", "inside"), [(_at_head, True), (_at_entries, False), (_before_the_first, False)])
def test_a_store_past_the_end_is_refused(do: Callable[[Any], None], *, inside: bool) -> None:
    """The entry has to be there, as the solver says; one past the last is the next queue's, or padding."""
    table = protocol.table(SPLIT).edited([Replace("split.fetch.2", {"do": do})])
    shown = queues._shown(SPLIT, _asked(SPLIT, table, "split.fetch.2"))
    faults = list(queues.stores(table, table.recorded(), shown))
    assert faults == ([] if inside else ["split.fetch.2 may store region.desc[].inflight past the end"])


@pytest.mark.parametrize("subject", [SPLIT, PACKED])
def test_a_store_of_which_nothing_was_shown_is_refused(subject: protocol.Subject) -> None:
    """With the goals about elements left out, each store to an element is a fault; with all of them, none."""
    table, outcome = protocol.table(subject), as_if_shown(subject.ring, [subject])
    assert list(queues.stores(table, table.recorded(), queues._shown(subject, outcome))) == []
    outcome.asked[subject] = [q for q in outcome.asked[subject] if not q.name.endswith(" has the element")]
    faults = list(queues.stores(table, table.recorded(), queues._shown(subject, outcome)))
    assert any("region.desc[].next past the end" in fault for fault in faults)
    checked = queues.check(subject.ring, [subject], outcome)
    assert checked.faults == [f"{subject.ring} {subject.name}: {fault}" for fault in faults]


# Variables.


@dataclass(frozen=True)
class Also:
    """An edit that declares a variable."""

    var: Var

    def apply(self, table: Table) -> Table:
        """Declare it."""
        return replace(table, vars=Vars(*table.vars.values(), self.var))


def _raise_theirs(s: Any) -> None:
    s.theirs = s.fetch.head


def _read_theirs(s: Any) -> None:
    s.fetch.head = s.theirs


def _wait_for_theirs(s: Any) -> Any:
    return s.theirs == 0


@new.step("queue.other", text="a test", when=lambda s: s.recover.at == "running")
def _other_settles(s: Any) -> None:
    """Another queue stores to this one's region."""
    s.region.used_idx = 0


THEIRS = Also(Var("theirs", "process", 16, "of no queue"))


@pytest.mark.parametrize(
    ("subject", "edits", "fault"),
    [
        (SPLIT, [THEIRS, Replace("split.fetch.look", {"do": _raise_theirs})], "split.fetch.look writes theirs, which"),
        (SPLIT, [THEIRS, Replace("split.fetch.look", {"do": _read_theirs})], "split.fetch.look reads theirs, which"),
        (SPLIT, [THEIRS, Replace("split.supply.7", {"when": _wait_for_theirs})], "split.supply.7 reads theirs, which"),
        (SPLIT, [Add(in_("device", _other_settles))], "queue.other is another queue's step, and writes region.used_i"),
        (DEVICE, [Replace("queue.other", {"do": _other_settles.do, "choice": None, "when": _other_settles.when})],
         "queue.other is another queue's step, and writes region.used_idx of this one's"),
    ],
)  # fmt: skip
def test_a_variable_of_another_is_refused(subject: protocol.Subject, edits: list[Edit], fault: str) -> None:
    """Written, read, waited for; or one of this queue's, which another queue's step writes."""
    plain, table = protocol.table(subject), protocol.table(subject).edited(edits)
    common = queues._shared_by(subject)
    assert list(queues.variables(plain, plain.recorded(), common)) == []
    (said,) = queues.variables(table, table.recorded(), common)
    assert fault in said


def test_the_counter_is_shared_only_where_a_gap_says_so() -> None:
    """The step of another queue that counts on is refused where each queue has a counter of its own."""
    table = protocol.table(DEVICE)
    (said,) = queues.variables(table, table.recorded(), frozenset())
    assert said == "queue.other is another queue's step, and writes counter of this one's"


def _leap(s: Any) -> None:
    s.counter = s.counter - 1


def test_what_another_queue_does_to_the_counter_is_a_step_of_the_proof() -> None:
    """Counting on is; counting back would be none, where something that is proved speaks of the counter."""
    outcome = as_if_shown("split", [DEVICE])
    table = protocol.table(DEVICE)
    assert list(queues.shared(DEVICE, table, table.recorded(), outcome)) == []
    wrong = table.edited([Replace("split.fetch.bump", {"do": _leap})])
    (said,) = queues.shared(DEVICE, wrong, wrong.recorded(), outcome)
    assert said == "split.fetch.bump, taken by another queue, changes counter as no step queue.* does"
    outcome.wanted[DEVICE] = {"nothing-lost", "drains"}
    assert list(queues.shared(DEVICE, wrong, wrong.recorded(), outcome)) == []


def test_what_speaks_of_a_counter_that_is_set_back_is_not_proved() -> None:
    """With device-last another queue may set any value: that is refused for what speaks of it, and only for that."""
    last = protocol.Subject.of("split", "merged", {"counter-scope": "device-last"})
    table, outcome = protocol.table(last), as_if_shown("split", [last])
    assert list(queues.shared(last, table, table.recorded(), outcome)) != []
    outcome.wanted[last] -= {"order", "restartable"}
    assert list(queues.shared(last, table, table.recorded(), outcome)) == []


# What `verify` says.


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_nothing_is_wrong_with_what_is_recorded(ring: str) -> None:
    """Every revision and every choice; where nothing is proved the line says what is needed besides."""
    checked = queues.check(ring, subjects(ring), Outcome())
    assert checked.faults == []
    assert len(checked.stores) > 20
    assert not checked.all_proved
    assert "if the back-end checks that the entry is there" in report.several_queues(checked)


def test_a_fault_is_told_and_nothing_is_called_proved() -> None:
    """Line by line."""
    told = report.several_queues(queues.Checked(faults=["a fault", "another"]))
    assert "proved" not in told
    assert told.splitlines()[1:] == ["    wrong: a fault", "    wrong: another"]
