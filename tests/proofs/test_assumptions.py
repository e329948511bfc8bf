"""What is assumed: printed, documented, and only what could not be shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from model import protocol
from model.memory.accesses import BACK_END, made
from model.terms import Term, walk
from proofs import assumptions, report
from proofs.induction.kits import induction_of
from proofs.verdicts import Judged, Verdict, recorded, subjects

TRUST = Path(__file__).parents[2] / "docs" / "trust.md"


def printed(capsys: pytest.CaptureFixture[str], *verdicts: Verdict) -> list[str]:
    """Give the lines that `verify` prints of what is assumed."""
    report.show(Console(soft_wrap=True, color_system=None), [Judged(v, v, 0.1) for v in verdicts], [], 1.0)
    lines = capsys.readouterr().out.splitlines()
    begin = next((n for n, line in enumerate(lines, start=1) if line.startswith("  assumed")), len(lines))
    return [line.strip() for line in lines[begin:] if line.startswith("    ") and not line.startswith("    (")]


def one_of(ring: str, verdict: str) -> Verdict:
    """Give a recorded verdict of a ring."""
    return next(v for v in recorded(ring) if v.verdict == verdict)


def test_what_is_printed_is_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The table of docs/trust.md has the printed lines, word for word, in their order; and a reason for each."""
    part = TRUST.read_text(encoding="utf-8").partition("<!-- generated: assumed -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in part.strip().splitlines()[2:]]
    lines = printed(capsys, *(one_of(ring, "proved") for ring in protocol.RINGS))
    assert len(lines) > 15
    assert [row[0] for row in rows] == lines
    assert all(len(row) == 3 and all(row) for row in rows)


@pytest.mark.parametrize(("ring", "other"), [("split", "packed"), ("packed", "split")])
def test_one_ring_has_its_own(capsys: pytest.CaptureFixture[str], ring: str, other: str) -> None:
    """What is assumed of the other ring alone is not printed; each line is short enough to be read."""
    lines = printed(capsys, one_of(ring, "proved"))
    assert lines == assumptions.lines([ring])
    assert not any(f"({other})" in line or f"({ring})" in line for line in lines)
    assert max(map(len, lines)) < 150
    assert len({line.partition(":")[0] for line in lines}) == len(lines)


def test_without_a_proof_nothing_is_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is played again assumes nothing."""
    assert printed(capsys, one_of("packed", "violated")) == []


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_a_ring_s_scope_assumes_nothing_besides(ring: str) -> None:
    """What a proof says of sizes and runs is its scope; what it assumes stands in one place."""
    assert not re.search(r"assum", " ".join(induction_of(ring).scope))


LOOPS = frozenset({"forall", "exists", "count", "total", "greatest", "follow", "met"})
WAITS = {("packed", "packed.fetch.1", "ring.desc[].flags.next")}
"""With region-size=smaller a chain is looked at as a whole: it was made available, so the driver leaves it alone."""
AT_ONCE = {("packed", "packed.fetch.5a")}
"""With assignments=one a descriptor is copied in one step, as it was made available likewise."""


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_a_step_of_the_back_end_races_with_one_store_at_most(ring: str) -> None:
    """What it reads in a loop nobody else stores; of what the driver stores it reads one field."""
    looped, several = set(), set()
    for subject in subjects(ring):
        table = protocol.table(subject)
        recorded_steps = table.recorded()
        theirs = {a.name for r in recorded_steps if r.step.procedure in BACK_END.peers for a in r.assigns}
        for one in (r for r in recorded_steps if r.step.procedure in BACK_END.procedures):
            indexes = (a.index for a in one.assigns if isinstance(a.index, Term))
            terms = [one.guard, *(a.value for a in one.assigns), *indexes]
            loops = [n for term in terms for n in walk(term) if n.op in LOOPS]
            read = {str(n.args[0]) for loop in loops for n in walk(loop) if n.op in ("var", "at")}
            looped |= {(ring, one.step.id, name) for name in read & theirs}
        several |= {(ring, step_id) for step_id, does in made(table, BACK_END).items() if len(does.loads) > 1}
    assert looped == {wait for wait in WAITS if wait[0] == ring}
    assert several == {step for step in AT_ONCE if step[0] == ring}
