"""The mutants and their record: what is generated, what is replayed, and that each kind of false record is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model import protocol
from model.interpret import Machine, Sizes
from model.packed.revisions import HARDENED_EDITS
from model.properties import NAMES
from model.protocol import Subject
from model.record import SHARED
from model.steps import Table
from proofs.challenges import fates, mutants
from proofs.challenges.fates import Fate
from proofs.challenges.mutants import Checked
from proofs.induction.kits import Mutant, Mutation, kit
from proofs.packed.guards import GUARDS
from proofs.verdicts import recorded_folder

MERGED = Subject("split", "merged")
HARDENED = Subject("packed", "hardened")
ROOT = Path(__file__).parents[2]
SUBJECTS = [subject for ring in protocol.RINGS for subject in mutants.subjects(ring)]


def mutation(ring: str) -> Mutation:
    """Give what the kit says of a ring's mutants."""
    told = kit(ring).mutation
    assert told is not None
    return told


def all_mutants(original: Table) -> list[Mutant]:
    """Give the mutants of a table."""
    return list(mutation(original.ring).mutants(original))


def checked(ring: str) -> Checked:
    """Play the record of a ring, once."""
    if ring not in _CHECKED:
        _CHECKED[ring] = mutants.check(ring)
    return _CHECKED[ring]


_CHECKED: dict[str, Checked] = {}


def table(subject: Subject) -> Table:
    """Give the table that is mutated."""
    return protocol.table(subject)


def named(subject: Subject, name: str) -> Mutant:
    """Look a mutant up."""
    return next(m for m in all_mutants(table(subject)) if m.name == name)


def recorded(name: str) -> Fate:
    """Look a record of merged up."""
    return next(f for f in fates.load("split") if f.revision == "merged" and f.mutant == name)


def faults_of(fate: Fate) -> list[str]:
    """Check the record with one entry exchanged, and give what is wrong with that mutant."""
    rest = [f for f in fates.load("split") if (f.revision, f.mutant) != (fate.revision, fate.mutant)]
    return [f for f in mutants.check("split", [*rest, fate]).faults if fate.mutant in f]


@pytest.mark.parametrize("ring", protocol.RINGS)
@pytest.mark.campaign
def test_the_record_holds(ring: str) -> None:
    """Every mutant is dead by a run that the text refuses or survives, or it is explained."""
    assert checked(ring).faults == ()


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_property_kills(ring: str) -> None:
    """None of the properties is idle."""
    assert checked(ring).idle == ()
    assert set(checked(ring).killers) == set(NAMES)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.revision)
def test_every_store_of_the_back_end_is_dropped(subject: Subject) -> None:
    """One mutant for each step of recover, fetch and supply that stores to shared memory."""
    original = table(subject)
    stores = {
        r.step.id
        for r in original.recorded()
        if r.step.procedure in ("recover", "fetch", "supply")
        and any(original.vars[a.name].kind in SHARED for a in r.assigns)
    }
    dropped = {m.name.removeprefix("drop ") for m in all_mutants(original) if m.kind == "drop"}
    assert stores <= dropped
    assert dropped - stores <= {f"{subject.ring}.fetch.bump"}


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.revision)
def test_every_guard_of_the_back_end_is_weakened(subject: Subject) -> None:
    """One mutant at least for each step of recover, fetch and supply that has a guard of its own.

    But for those that would let an index leave its array: what follows such a loop is weakened instead.
    """
    original = table(subject)
    bare = original.with_steps({})
    guarded = {
        step.id
        for step in bare.steps.values()
        if step.procedure in ("recover", "fetch", "supply") and step.when.__name__ != "_always"
    }
    weakened = {m.name.removeprefix("guard ").split(":")[0] for m in all_mutants(original) if m.kind == "guard"}
    left_alone = {name.split(":")[0] for name in GUARDS.left_alone} if subject.ring == "packed" else set()
    assert guarded - left_alone <= weakened
    assert {"fetch", "supply"} <= weakened
    assert left_alone <= guarded


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.revision)
def test_names_are_unique_and_each_mutant_changes_the_table(subject: Subject) -> None:
    """No two mutants of a name; each differs from the text in a successor of some state, so none is the text itself."""
    found = all_mutants(table(subject))
    assert len({m.name for m in found}) == len(found)
    for mutant in found:
        edited = table(subject).edited(mutant.edits)
        assert edited.steps != table(subject).steps or edited.guards != table(subject).guards


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.revision)
def test_a_dropped_store_keeps_its_volatile_effects(subject: Subject) -> None:
    """The step of the mutant assigns what that of the text does, less what is shared."""
    original = table(subject)
    for mutant in all_mutants(original):
        step_id = mutant.name.removeprefix("drop ")
        if mutant.kind != "drop" or step_id == f"{subject.ring}.fetch.bump":
            continue
        before = original.record(original.step(step_id)).assigns
        edited = original.edited(mutant.edits)
        after = edited.record(edited.step(step_id)).assigns
        kept = [a.name for a in before if original.vars[a.name].kind not in SHARED]
        assert [a.name for a in after] == kept
        assert len(before) > len(after)


def test_swapped_link_still_goes_to_the_old_head() -> None:
    """Lead first, link second: the entry is linked to what led the list before, as a compiler would have it."""
    mutant = named(MERGED, "swap split.supply.2, split.supply.3")
    machine = Machine(table(MERGED).edited(mutant.edits), Sizes(2, 2))
    state = list(machine.initial())
    for name, value in (("supply.at", "link"), ("fetch.at", "rest"), ("supply.open", 1), ("supply.head", 0)):
        state[machine.place[name]] = value
    state[machine.place["region.last_batch_head"]] = 1
    led = machine.take(tuple(state), "split.supply.3")
    linked = machine.take(led, "split.supply.2")
    assert machine.get(led, "region.last_batch_head") == 0
    assert machine.get(linked, "region.desc[].next")[0] == 1
    assert machine.get(linked, "supply.count") == 1


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_reasons_are_those_of_survivors(ring: str) -> None:
    """No reason is left over for a mutant that is dead or gone, and none is empty."""
    reasons = mutation(ring).reasons
    assert {name for _, name, _ in checked(ring).survivors} == set(reasons)
    assert all(reasons.values())


def test_reasons_are_written_into_a_record() -> None:
    """A survivor whose reason has changed gets the new one; the dead keep their runs."""
    told = fates.load("packed")
    stale = [f if f.killed_by else replace(f, survives_because="because") for f in told]
    assert mutants.explained("packed", stale) == list(told)


def test_each_edit_of_hardened_is_needed() -> None:
    """Left out, each of the four breaks a property."""
    edits = {f.mutant: f.killed_by for f in fates.load("packed") if f.kind == "edit"}
    assert set(edits) == {f"edit {name}" for name in HARDENED_EDITS}
    assert all(edits.values())


def test_an_edit_left_out_leaves_the_others() -> None:
    """What is left is merged with three edits: its steps are those of hardened less those of the one."""
    original = table(HARDENED)
    gone = {m.name: set(original.steps) - set(original.edited(m.edits).steps) for m in all_mutants(original)}
    assert gone["edit unmark-used"] == {"packed.reconnect.unmark.look", "packed.reconnect.unmark"}
    assert gone["edit settled-by-free-head"] == {"packed.reconnect.1.settled"}
    assert gone["edit compare-wrap-counters"] == gone["edit roll-back-free-head-last"] == set()


def test_a_turned_pair_takes_the_second_first() -> None:
    """Where the condition holds, a copy of the second step comes first, with the history of the original."""
    edited = table(HARDENED).edited(named(HARDENED, "swap packed.fetch.6, packed.fetch.7").edits)
    early, late = edited.step("packed.fetch.7.early"), edited.step("packed.fetch.6.late")
    assert early.at == table(HARDENED).step("packed.fetch.6").at
    assert early.to == late.at[0]
    assert late.to == table(HARDENED).step("packed.fetch.7").to
    assert "packed.fetch.6.late" in edited.history


def test_a_search_finds_what_is_recorded() -> None:
    """The shortest run of a mutant that dies early is found anew."""
    for name in ("drop split.init.3", "drop split.reconnect.1b"):
        told, found = recorded(name), mutants.find(MERGED, named(MERGED, name))
        assert (told.killed_by, len(told.schedule)) == (found.killed_by, len(found.schedule))


def test_a_run_of_the_text_kills_nothing() -> None:
    """A schedule that is not the mutant's, and one by which nothing is violated, are found."""
    fate = recorded("drop split.reconnect.1b")
    assert "is not enabled" in faults_of(replace(fate, schedule=(("split.supply.5",), *fate.schedule)))[0]
    assert "violated nowhere" in faults_of(replace(fate, schedule=fate.schedule[:-1]))[0]


def test_a_run_that_goes_on_after_the_violation_is_found() -> None:
    """The last event is the one that violates."""
    fate = recorded("drop split.init.3")
    assert "before the end" in faults_of(replace(fate, schedule=(*fate.schedule, ("driver.make.1", 0))))[0]


def test_a_property_that_the_text_itself_violates_kills_nothing() -> None:
    """v6 breaks `order` unchanged."""
    fate = next(f for f in fates.load("split") if f.revision == "v6" and f.killed_by)
    assert faults_of(replace(fate, killed_by="order")) == [
        f"v6, {fate.mutant}: order is violated without it",
    ]


def test_a_survivor_without_a_reason_and_a_mutant_without_a_record_are_found() -> None:
    """Both are faults, as is a record of a mutant that does not exist."""
    fate = recorded("drop split.supply.7")
    silent = replace(fate, killed_by=None, schedule=(), survives_because=None)
    assert "nobody says why" in faults_of(silent)[0]
    assert faults_of(replace(fate, mutant="no such")) != []
    rest = [f for f in fates.load("split") if f.mutant != fate.mutant]
    assert f"merged, {fate.mutant}: not recorded" in mutants.check("split", rest).faults


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_the_page_is_the_record(ring: str) -> None:
    """A ring's page is what `python -m proofs.challenges.mutants orders` prints for it."""
    assert (ROOT / mutation(ring).page).read_text(encoding="utf-8") == mutants.orders(ring)


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_the_record_is_read_as_it_is_written(ring: str, tmp_path: Path) -> None:
    """Writing and reading give the same; a schedule file that nobody goes round in any more is gone."""
    told = fates.load(ring)
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / "stray.json").write_text("{}")
    fates.write(ring, told, tmp_path)
    assert fates.load(ring, tmp_path) == told
    assert (tmp_path / "mutants.json").read_bytes() == (recorded_folder(ring) / "mutants.json").read_bytes()


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_goes_round_is_recorded_as_schedules(ring: str) -> None:
    """Each of those mutants dies by `drains`, on a run whose end it goes round in for ever; no other does."""
    for fate in fates.load(ring):
        assert (fate.kind == "round") == (fate.repeats_from is not None)
        assert fate.kind != "round" or fate.killed_by == "drains"


def test_a_round_that_is_none_is_found() -> None:
    """One that begins elsewhere, and one that is not gone round to its end."""
    fate = recorded("round recovery")
    assert "violated nowhere" in faults_of(replace(fate, repeats_from=(fate.repeats_from or 0) - 1))[0]
    assert "violated nowhere" in faults_of(replace(fate, schedule=fate.schedule[:-1]))[0]
