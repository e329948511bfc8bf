"""What the text should say: every order and choice that a proof rests on is a sentence of it, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model import protocol
from model.packed.revisions import HARDENED_EDITS
from model.proposal import Sentence, Words, literals, numbers
from model.protocol import RINGS, Subject
from proofs.challenges import mutants
from proofs.challenges.mutants import Fate
from proofs.verdicts import recorded, recorded_later
from tools import readings

MENDS = protocol.mends()


def added(ring: str, kind: str) -> list[tuple[Sentence, Words]]:
    """Give what mends of a kind add, each with its sentence."""
    return [(s, w) for s in protocol.sentences(ring) for w in s.words if w.mend and MENDS[w.mend].kind == kind]


def killed(ring: str, kind: str) -> list[Fate]:
    """Give the mutants of the revision that is proved which a run kills."""
    proved = mutants.subjects(ring)[-1].revision
    return [f for f in mutants.load(ring) if f.kind == kind and f.killed_by and f.revision == proved]


APART = {
    "guard fetch": {"split": ("split.supply.7", "split.fetch.1"), "packed": ("packed.supply.9c", "packed.fetch.1")},
    "guard supply": {"split": ("split.fetch.2", "split.supply.1"), "packed": ("packed.fetch.7", "packed.supply.1")},
}
"""What the guard of a whole procedure is for, as an order: one begins when the other has come to its end."""


def needed_orders(ring: str) -> set[tuple[str, str]]:
    """Give the orders that a run is known to need: of two stores, and of two procedures."""
    swapped = [fate.mutant.removeprefix("swap ").split(", ") for fate in killed(ring, "swap")]
    begun = {fate.mutant.partition(":")[0] for fate in killed(ring, "guard")}
    return {(one, other) for one, other in swapped} | {APART[name][ring] for name in APART if name in begun}


def unnamed_orders(ring: str, sentences: tuple[Sentence, ...]) -> set[tuple[str, str]]:
    """Give the orders that are needed, and that no sentence states."""
    return needed_orders(ring) - {pair for s in sentences for w in s.words for pair in w.orders}


@pytest.mark.parametrize("ring", RINGS)
def test_every_order_that_is_needed_is_a_sentence(ring: str) -> None:
    """Each swap that a run kills is named, pair by pair, and each procedure that has to wait; nothing else is."""
    assert unnamed_orders(ring, protocol.sentences(ring)) == set()
    stated = [pair for s in protocol.sentences(ring) for w in s.words for pair in w.orders]
    assert sorted(stated) == sorted(needed_orders(ring))


@pytest.mark.parametrize("ring", RINGS)
def test_an_order_left_out_is_missed(ring: str) -> None:
    """Whichever words are taken away, the check says which orders are gone."""
    for sentence in protocol.sentences(ring):
        for gone in (w for w in sentence.words if w.orders):
            rest = replace(sentence, words=tuple(w for w in sentence.words if w is not gone))
            left = tuple(rest if s is sentence else s for s in protocol.sentences(ring))
            assert unnamed_orders(ring, left) == set(gone.orders)


def needs_a_default(ring: str) -> set[str]:
    """Give the gaps with a choice that violates a property where the default violates none."""
    if ring == "packed":
        return {entry["gap"] for entry in readings.recorded() if entry["violated"]}
    verdicts = [v for v in recorded(ring) if v.revision == "merged" and v.verdict == "violated"]
    assert all(v.gaps for v in verdicts), "under the defaults nothing is violated"
    return {gap for v in verdicts for gap in v.gaps}


@pytest.mark.parametrize("ring", RINGS)
def test_every_choice_that_matters_has_a_sentence(ring: str) -> None:
    """And no other gap has one: where nothing breaks, the text may leave it open."""
    assert {words.mend for _, words in added(ring, "gap")} == needs_a_default(ring)


@pytest.mark.parametrize("ring", RINGS)
def test_what_came_later_has_a_sentence_where_it_matters(ring: str) -> None:
    """For each question with a choice that violates something, and for no other."""
    broken = {gap for v in recorded_later(ring) if v.verdict == "violated" for gap in v.gaps}
    assert {words.mend for _, words in added(ring, "later")} == broken


def test_bold_is_what_changes() -> None:
    """What an erratum adds speaks of just the steps that its edit changes, or states an order that is needed."""
    merged = protocol.table(Subject("packed", "merged"))
    for edit in HARDENED_EDITS:
        before = merged.edited(e for name, others in HARDENED_EDITS.items() if name != edit for e in others)
        after = protocol.table(Subject("packed", "hardened"))
        changed = {i for i in before.steps | after.steps if before.steps.get(i) != after.steps.get(i)}
        (mend,) = (m.name for m in MENDS.values() if m.edit == edit)
        words = [w for _, w in added("packed", "erratum") if w.mend == mend]
        spoken = {step for w in words for step in (*w.steps, *(s for pair in w.orders for s in pair))}
        ordered = {step for w in words for pair in w.orders for step in pair}
        assert changed <= spoken
        assert spoken <= changed | ordered
    assert [m.name for m in MENDS.values() if m.kind == "erratum" and m.edit not in HARDENED_EDITS] == []


def test_no_step_of_the_split_ring_changes() -> None:
    """So what is added there are defaults and orders alone."""
    merged, hardened = (protocol.table(Subject("split", revision)) for revision in ("merged", "hardened"))
    assert merged.steps == hardened.steps
    assert added("split", "erratum") == []


@pytest.mark.parametrize("ring", RINGS)
def test_steps_stand_under_their_numbers(ring: str) -> None:
    """Each step of an item is one of the table, and names the item's list and number as its place in the text."""
    table = protocol.table(Subject(ring, "hardened"))
    for sentence in protocol.sentences(ring):
        assert set(sentence.steps) <= set(table.steps)
        for words in (w for w in sentence.words if sentence.number and w.mend is None):
            for step in words.steps:
                place, found = numbers(table.step(step).text, "hardened")
                assert (place, sentence.number in found) == (sentence.place, True), step


@pytest.mark.parametrize("ring", RINGS)
def test_an_item_names_the_fields_that_its_steps_store(ring: str) -> None:
    """Without any mend it says what `merged` does at that number."""
    table = protocol.table(Subject(ring, "merged"))
    for sentence in (s for s in protocol.sentences(ring) if s.number):
        named = {name.split(".")[-1] for name in literals([sentence.text()])}
        steps = [table.step(s) for w in sentence.words if w.mend is None for s in w.steps]
        fields = {
            store.name.replace("[]", "").split(".")[-2 if "flags" in store.name else -1]
            for step in steps
            for store in table.record(step).stores(table.vars)
        }
        assert fields <= named, sentence.number


@pytest.mark.parametrize(
    ("text", "revision", "expected"),
    [
        ("v6 receiving, 2(b); merged receiving, 2(d)", "v6", ("receiving", ("2(b)",))),
        ("v6 receiving, 2(b); merged receiving, 2(d)", "hardened", ("receiving", ("2(d)",))),
        ("v6 supplying, 1 and 2", "merged", ("supplying", ("1", "2"))),
        ("v6 reconnecting, 1(a), 1(b), and the test of 1(c); gap flags-compare", "merged",
         ("reconnecting", ("1(a)", "1(b)", "1(c)"))),
        ("v6 reconnecting, 4: the copies; an entry that there is", "merged", ("reconnecting", ("4",))),
        ("hardened reconnecting, 2", "merged", ("", ())),
        ("gap fetch-position", "hardened", ("", ())),
    ],
)  # fmt: skip
def test_numbers_of_a_place(text: str, revision: str, expected: tuple[str, tuple[str, ...]]) -> None:
    """As `explain` prints it, and as a reader of the text counts."""
    assert numbers(text, revision) == expected
