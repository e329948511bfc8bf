"""The records of verdicts: complete, their counterexamples run, and a search agrees with them."""

from __future__ import annotations

import json

import pytest

from model import protocol
from model.properties import NAMES
from proofs.record import searches as campaign
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore
from proofs.search.runs import runs
from proofs.verdicts import Verdict, load_schedule, recorded, recorded_folder, subjects, table_and_sizes, violates

RECORDS = {ring: recorded(ring) for ring in protocol.RINGS}
VIOLATED = [v for record in RECORDS.values() for v in record if v.verdict == "violated"]

BROKEN = {
    ("split", "v6"): {"order"},
    ("split", "merged"): set(),
    ("split", "hardened"): set(),
    ("packed", "v6"): set(NAMES),
    ("packed", "merged"): set(NAMES),
    ("packed", "hardened"): set(),
}
"""What each revision violates under the defaults of the gaps; it keeps all the rest, which is proved."""

AGREES = {"split": (Bounds(2, 2, 1), Bounds(4, 1, 1)), "packed": (Bounds(1, 2, 1),)}
"""By ring: the bounds within which every subject is searched here."""


def _name(verdict: Verdict) -> str:
    return f"{verdict.ring}-{verdict.counterexample}"


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_complete(ring: str) -> None:
    """There is one verdict for each property of each revision, under the defaults and under each single deviation."""
    expected = {(subject, name) for subject in subjects(ring) for name in NAMES}
    assert expected == {(v.subject(), v.property) for v in RECORDS[ring]}
    assert len(expected) == len(RECORDS[ring])


@pytest.mark.parametrize(("ring", "revision"), BROKEN)
def test_text_is_not_all_well(ring: str, revision: str) -> None:
    """What the text violates under the defaults is known, and everything else is proved."""
    verdicts = {v.property: v.verdict for v in RECORDS[ring] if v.revision == revision and not v.gaps}
    broken = BROKEN[ring, revision]
    assert verdicts == {name: "violated" if name in broken else "proved" for name in NAMES}


@pytest.mark.parametrize("verdict", VIOLATED, ids=_name)
@pytest.mark.campaign
def test_counterexample_violates(verdict: Verdict) -> None:
    """Played on the interpreter, the last event of a counterexample violates its property, and none before it."""
    schedule = load_schedule(recorded_folder(verdict.ring) / str(verdict.counterexample))
    assert (schedule.ring, schedule.revision, schedule.gaps) == (verdict.ring, verdict.revision, verdict.gaps)
    assert schedule.property == verdict.property
    assert violates(schedule)


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_counterexample_is_somebody_s(ring: str) -> None:
    """No file of the record is left over, and no two verdicts share one."""
    named = [v.counterexample for v in VIOLATED if v.ring == ring]
    folder = recorded_folder(ring)
    assert sorted(str(name) for name in named) == sorted(
        str(path.relative_to(folder)) for path in (folder / "counterexamples").iterdir()
    )


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_bounded_has_bounds(ring: str) -> None:
    """What is bounded says within what; what is proved rests on no search."""
    for verdict in RECORDS[ring]:
        assert (verdict.verdict == "bounded") <= bool(verdict.bounds), verdict
        assert (verdict.verdict == "proved") <= (not verdict.bounds), verdict


@pytest.mark.parametrize(
    ("ring", "bounds"), [(ring, b) for ring, several in AGREES.items() for b in several], ids=lambda v: str(v)[:60]
)
@pytest.mark.campaign
def test_search_agrees(ring: str, bounds: Bounds) -> None:
    """A search of each subject within small bounds finds nothing that is not recorded."""
    safe = frozenset(NAMES) - {"drains"}
    known = {(v.subject(), v.property) for v in VIOLATED}
    for subject in subjects(ring):
        table, sizes = table_and_sizes(subject, bounds, safe)
        found = explore(table, sizes, bounds, safe, every=True)
        assert {(subject, name) for name in found.violations} <= known, subject


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_searches_of_the_campaign_agree(ring: str) -> None:
    """What the campaign's searches found is what is recorded as violated, but for runs that were found otherwise.

    Those have no bounds: nothing says that they are shortest.
    """
    searches = [
        s for name in ("searches", "drains") for s in json.loads((recorded_folder(ring) / f"{name}.json").read_text())
    ]
    found = {(protocol.Subject.of(ring, s["revision"], s["gaps"]), name) for s in searches for name in s["violated"]}
    assert found == {(v.subject(), v.property) for v in VIOLATED if v.ring == ring and v.bounds}
    told = runs(ring).campaign
    for subject in subjects(ring):
        mine = [s for s in searches if (s["revision"], s["gaps"]) == (subject.revision, dict(subject.choices))]
        done = [Bounds(**s["bounds"]) for s in mine if s["complete"]]
        asked = {b for b in (*told.bounds, *told.drains) if protocol.sizes(subject, b.size).entries}
        assert asked, subject
        assert asked <= set(done), subject


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_is_bounded_was_searched_for_rounds(ring: str) -> None:
    """`drains` is bounded or proved where searches that find what goes round found nothing, within the same bounds.

    They are those of the campaign: what a verdict says of bounds is all that was looked at.
    """
    searches = json.loads((recorded_folder(ring) / "drains.json").read_text())
    for verdict in (v for v in RECORDS[ring] if v.property == "drains" and v.verdict != "violated"):
        mine = [s for s in searches if (s["revision"], s["gaps"]) == (verdict.revision, verdict.gaps)]
        done = [Bounds(**s["bounds"]) for s in mine if s["complete"] and not s["violated"]]
        assert done == [b for b, properties in campaign(verdict.subject()) if properties == {"drains"}], verdict
        assert verdict.bounds == (tuple(done) if verdict.verdict == "bounded" else ()), verdict
