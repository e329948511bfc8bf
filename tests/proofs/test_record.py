"""The record of verdicts: complete, its counterexamples run, and a search agrees with it."""

from __future__ import annotations

import json

import pytest

from model import protocol
from model.properties import NAMES
from proofs.search import Bounds, explore
from proofs.verdicts import Verdict, load_schedule, recorded, recorded_folder, subjects, table_and_sizes, violates

RECORD = recorded("split")
VIOLATED = [v for v in RECORD if v.verdict == "violated"]


def _name(verdict: Verdict) -> str:
    return str(verdict.counterexample)


def test_complete() -> None:
    """There is one verdict for each property of each revision, under the defaults and under each single deviation."""
    expected = {(subject, name) for subject in subjects("split") for name in NAMES}
    assert expected == {(v.subject(), v.property) for v in RECORD}
    assert len(expected) == len(RECORD)


def test_text_is_not_all_well() -> None:
    """v6 loses the order, and nothing but the order, under the defaults; merged keeps all it promises."""
    defaults = {(v.revision, v.property): v.verdict for v in RECORD if not v.gaps}
    assert {key for key, verdict in defaults.items() if verdict != "proved"} == {("v6", "order")}
    assert defaults["v6", "order"] == "violated"


@pytest.mark.parametrize("verdict", VIOLATED, ids=_name)
def test_counterexample_violates(verdict: Verdict) -> None:
    """Played on the interpreter, the last event of a counterexample violates its property, and none before it."""
    assert violates(load_schedule(recorded_folder("split") / str(verdict.counterexample)))


def test_bounded_has_bounds() -> None:
    """What is bounded says within what; what is proved rests on no search."""
    for verdict in RECORD:
        assert (verdict.verdict == "bounded") <= bool(verdict.bounds), verdict


@pytest.mark.parametrize("size", [2, 4])
def test_search_agrees(size: int) -> None:
    """A search of each subject, with one request for each head but two, finds nothing that is not recorded."""
    safe = frozenset(NAMES) - {"drains"}
    known = {(v.subject(), v.property) for v in VIOLATED}
    for subject in subjects("split"):
        bounds = Bounds(size, 2 if size == 2 else 1, 1)
        table, sizes = table_and_sizes(subject, bounds, safe)
        found = explore(table, sizes, bounds, safe, every=True)
        assert {(subject, name) for name in found.violations} <= known, subject


def test_searches_of_the_campaign_agree() -> None:
    """What the campaign's searches found is what is recorded as violated, no more and no less."""
    searches = json.loads((recorded_folder("split") / "searches.json").read_text())
    found = {(protocol.Subject.of("split", s["revision"], s["gaps"]), name) for s in searches for name in s["violated"]}
    assert found == {(v.subject(), v.property) for v in VIOLATED}
    assert {s["bounds"]["size"] for s in searches if s["complete"]} == {2, 4}
