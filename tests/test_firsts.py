"""What breaks first: pruned searches, their record, and what docs/errata.md says of causes and consequences."""

from __future__ import annotations

from typing import Any

import pytest

from model import protocol
from model.interpret import Machine, Sizes
from model.protocol import Subject
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore
from proofs.verdicts import load_schedule, recorded_folder
from tools import firsts, pages
from tools.firsts import DEFECTS, SAFE, broken_first

ENTRIES = [(ring, entry) for ring in protocol.RINGS for entry in firsts.recorded(ring)]
RUNS = [(ring, entry, name) for ring, entry in ENTRIES for name in entry["first"]]


def machine_of(ring: str, entry: dict[str, Any]) -> Machine:
    """Give the machine that a search was made on."""
    told = firsts.table(entry["defect"], ring, notifications=entry["notifications"])
    bounds = Bounds(**entry["bounds"])
    return Machine(told, Sizes(bounds.size, bounds.size, bounds.first), check=True)


def test_every_defect_is_searched_to_the_end() -> None:
    """For each property, within all bounds of its ring; and each breaks something first."""
    wanted = {(d, ring, b, n) for d, ring in DEFECTS for b, n in firsts.searches(ring)}
    done = {(e["defect"], ring, Bounds(**e["bounds"]), e["notifications"]) for ring, e in ENTRIES}
    assert wanted == done
    assert all(entry["complete"] for _, entry in ENTRIES)
    assert {(entry["defect"], ring) for ring, entry, _ in RUNS} == set(DEFECTS)


@pytest.mark.parametrize(("ring", "entry", "name"), RUNS, ids=lambda v: v["defect"] if isinstance(v, dict) else str(v))
def test_nothing_is_broken_before(ring: str, entry: dict[str, Any], name: str) -> None:
    """Played again with every property judged: the last event breaks it, and none before it breaks anything."""
    number, broken = broken_first(machine_of(ring, entry), entry["first"][name])
    assert number == len(entry["first"][name])
    assert name in broken


@pytest.mark.parametrize(("defect", "ring"), DEFECTS)
@pytest.mark.campaign
def test_a_search_finds_what_is_recorded(defect: str, ring: str) -> None:
    """The quickest one is done again."""
    bounds, notifications = min(firsts.searches(ring), key=lambda s: (s[0].size, s[0].requests, s[1]))
    (told,) = (
        e for r, e in ENTRIES
        if (r, e["defect"], e["notifications"]) == (ring, defect, notifications) and Bounds(**e["bounds"]) == bounds
    )  # fmt: skip
    found = firsts.search(defect, ring, bounds, notifications)
    assert {name: len(run) for name, run in found["first"].items()} == {n: len(r) for n, r in told["first"].items()}
    assert found["states"] == told["states"]


def test_a_pruned_search_leaves_consequences_out() -> None:
    """On a ring of 1 merged breaks `intact`, but never before it has resubmitted a used request."""
    table = protocol.table(Subject("packed", "merged"), quiet=True)
    whole, pruned = (
        explore(table, Sizes(1, 1), Bounds(1, 2, 2), SAFE, every=True, pruned=only) for only in (False, True)
    )
    assert {"intact", "no-used-resubmitted"} <= set(whole.violations)
    assert set(pruned.violations) < set(whole.violations)
    assert "intact" not in pruned.violations
    assert pruned.states < whole.states
    machine = Machine(table, Sizes(1, 1))
    for name, run in pruned.violations.items():
        number, broken = broken_first(machine, [list(event) for event in run])
        assert (number, name in broken) == (len(run), True)


def test_a_property_broken_by_the_same_event_is_first_too() -> None:
    """Both are told."""
    told = load_schedule(recorded_folder("packed") / "counterexamples" / "merged-ring-position.json")
    number, broken = broken_first(told.machine(), [list(event) for event in told.events])
    assert number == len(told.events)
    assert broken == ["well-formed", "ring-position"]


def test_order_of_merged_is_a_consequence() -> None:
    """Its shortest run has resubmitted a used request long before, and the page says so."""
    told = load_schedule(recorded_folder("packed") / "counterexamples" / "merged-order.json")
    number, broken = broken_first(told.machine(), [list(event) for event in told.events])
    assert (number < len(told.events), broken) == (True, ["no-used-resubmitted"])
    assert f"| packed merged | order | 125 | **no-used-resubmitted** | {number} |" in pages.block("runs first")


def test_a_run_that_breaks_nothing() -> None:
    """Nothing is first."""
    machine = Machine(protocol.table(Subject("split", "merged")), Sizes(2, 2))
    assert broken_first(machine, [["split.start.fresh"], ["split.init.1"]]) == (0, [])


def test_what_is_not_searched_to_the_end_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash, rather than that nothing breaks it."""
    entries = firsts.recorded("packed")
    monkeypatch.setattr(firsts, "recorded", lambda ring: entries[1:] if ring == "packed" else [])
    rows = pages.block("firsts").splitlines()[2:]
    assert [row.endswith("| - |") for row in rows] == [True, True, *([False] * (len(rows) - 2))]
