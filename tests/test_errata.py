"""docs/errata.md: its runs break what it says, on the texts that it names, and its tables are what the runs give."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import diagrams
from diagrams._play import play
from model.interpret import Machine, Sizes
from model.packed.quiet import quiet
from model.packed.revisions import HARDENED_EDITS, MERGED, REVISIONS, V6
from model.properties import NAMES
from model.protocol import judgements
from model.steps import Table
from model.terms import ModelError, all_of, negate
from proofs.search.breadth_first import Bounds, Found, explore
from proofs.search.judges import Judge
from tools import generated, pages, readings
from vhost_inflight.judging.crash.command import run as crash_test
from vhost_inflight.judging.play.replay import replay
from vhost_inflight.judging.play.schedule import parse

ROOT = Path(__file__).parents[1]
ERRATA = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")
SAFE = frozenset(NAMES) - {"drains"}
TEXT = {name: V6.edited(edits) for name, edits in REVISIONS.items()}

RUNS = {
    "no-order": ("v6", "order"),
    "whole-ring": ("merged", "no-used-resubmitted"),
    "whole-ring-lost": ("merged", "nothing-lost"),
    "marked-used": ("merged", "exactly-once"),
    "half-settled": ("merged", "no-used-resubmitted"),
    "half-rolled-back": ("hardened", "nothing-lost"),
}
"""Each run, the revision it is of, and what it violates."""


def search(table: Table, bounds: Bounds, properties: frozenset[str]) -> Found:
    """Search a table of the packed ring, without notifications."""
    found = explore(quiet(table), Sizes(bounds.size, bounds.size, 0), bounds, properties, every=True)
    assert found.complete
    return found


# The runs.


def test_every_run_is_told() -> None:
    """No run lies about that the page does not speak of, and none is missing."""
    assert set(RUNS) == set(diagrams.errata())
    assert [name for name in RUNS if f"errata/{name}.json" not in ERRATA] == []
    assert [name for name in RUNS if f"diagrams/packed-{name}.svg" not in ERRATA] == []


@pytest.mark.parametrize("name", RUNS)
def test_run_on_the_model(name: str) -> None:
    """The last event of a run violates what the page says, and none before it."""
    revision, violated = RUNS[name]
    run = play(diagrams.erratum(name))
    assert (run.subject.revision, run.violated) == (revision, violated)
    assert [m.violates for m in run.moments if m.violates] == [violated]
    assert run.moments[-1].violates == violated


@pytest.mark.parametrize("name", RUNS)
def test_run_on_the_reference(name: str) -> None:
    """`replay` reproduces it: on real shared memory, or on the interpreter where no text has that table."""
    schedule = parse(diagrams.erratum(name))
    played = replay(schedule)
    assert played.reproduced, played.verdict()
    assert played.on == ("the model's interpreter" if schedule.mutant else "real shared memory")


@pytest.mark.parametrize("name", ["whole-ring", "marked-used", "half-settled"])
def test_hardened_survives_the_run(name: str) -> None:
    """The same driver, device, batches and crash: v6 and merged break it, hardened nothing as far as the run goes."""
    told = diagrams.erratum(name)
    for revision in ("v6", "merged"):
        assert RUNS[name][1] in violated_in(TEXT[revision], told["schedule"], told["queue_size"])
    assert violated_in(TEXT["hardened"], told["schedule"], told["queue_size"]) == []


def violated_in(table: Table, events: list[list[Any]], size: int) -> list[str]:
    """Play a run with the recovery of a table in place of its own, up to an event that is not possible there."""
    machine = Machine(quiet(table), Sizes(size, size, 0), check=True)
    judge = Judge(machine, judgements("packed"), SAFE)
    broken: list[str] = []

    def in_recovery(number: int) -> bool:
        return machine.steps[number].step.procedure == "recover"

    def take(now: tuple[Any, ...], number: int, chosen: int) -> tuple[Any, ...]:
        after = machine.take(now, machine.steps[number].step.id, chosen)
        broken.extend(judge.event(now, (number, chosen, after)))
        return after

    def recovered(now: tuple[Any, ...]) -> tuple[Any, ...]:
        while machine.get(now, "recover.at") != "running":
            number, chosen, _ = next(s for s in machine.successors(now) if in_recovery(s[0]))
            now = take(now, number, chosen)
        return now

    state = recovered(machine.initial())
    for event in events:
        number = machine.index.get(event[0])
        if number is None or in_recovery(number):
            continue
        try:
            state = take(state, number, event[1] if len(event) > 1 else -1)
        except ModelError:
            break
        if event[0] == "crash":
            state = recovered(state)
    return broken


@pytest.mark.parametrize("name", ["whole-ring", "marked-used", "half-settled"])
def test_real_processes_die_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`crash-test --schedule` kills a real back-end where the run has its crash, and finds a property violated."""
    path = ROOT / "proofs" / "recorded" / "packed" / "errata" / f"{name}.json"
    good = crash_test(ring="packed", revision="merged", queue_size=4, kills=1, seed=0, schedule=path, json_file=None)
    assert not good
    assert "was violated" in capsys.readouterr().out
    assert f"crash-test --schedule proofs/recorded/packed/errata/{name}.json" in ERRATA


# Each edit alone.

ISOLATED = {
    "compare-wrap-counters": (Bounds(1, 2, 1), {"no-used-resubmitted", "nothing-lost"}),
    "unmark-used": (Bounds(2, 2, 1), {"exactly-once", "intact"}),
    "roll-back-free-head-last": (Bounds(1, 2, 2), {"restartable", "nothing-lost"}),
}


@pytest.mark.parametrize("edit", ISOLATED)
@pytest.mark.campaign
def test_hardened_without_one_edit(edit: str) -> None:
    """Leave one edit out, and a search finds what the page says; with all of them it finds nothing."""
    bounds, expected = ISOLATED[edit]
    others = [e for name, edits in HARDENED_EDITS.items() if name != edit for e in edits]
    assert expected <= set(search(V6.edited((*MERGED, *others)), bounds, SAFE).violations)
    assert search(TEXT["hardened"], bounds, SAFE).violations == {}


def test_half_settled_needs_a_ring_of_three() -> None:
    """Without settled-by-free-head a ring of 2 breaks nothing with two requests and a crash, as the page says."""
    others = [e for name, edits in HARDENED_EDITS.items() if name != "settled-by-free-head" for e in edits]
    assert search(V6.edited((*MERGED, *others)), Bounds(2, 2, 1), SAFE).violations == {}


# Mixing revisions.

OWN = ("compare", "compared", "submitted?", "commit idx", "commit wrap", "roll back", "roll back idx",
       "roll back wrap", "clear")  # fmt: skip
"""The labels of recovery at which merged and hardened differ."""


def mixed(dies_at: str | None = None) -> Table:
    """Give hardened, with merged's recovery beside it under other labels.

    The first process, on a fresh region, is merged. With `dies_at`, one that finds a region may be merged too, and then
    dies at that label; recovery that begins so never ends.
    """

    def own(label: str) -> str:
        return f"merged {label}" if label in OWN else label

    table = TEXT["hardened"]
    steps, history = dict(table.steps), dict(table.history)
    for step in TEXT["merged"].of("recover"):
        if set(step.at) & set(OWN):
            new = replace(
                step, id=f"merged {step.id}", at=tuple(map(own, step.at)), to=own(step.to) if step.to else None
            )
            if step.id == "packed.position":
                new = replace(new, when=lambda s, when=step.when: all_of(s.recover.fresh == 1, when(s)))
            steps[new.id] = new
            if step.id in history:
                history[new.id] = history[step.id]
    steps["packed.init.5"] = replace(steps["packed.init.5"], to=own("compare"))
    if dies_at is not None:
        adopt, crash = steps["packed.start.adopt"], steps["crash"]
        steps["merged start"] = replace(adopt, id="merged start", to=own("compare"))
        elsewhere = [own(label) for label in OWN if label != dies_at]
        steps["crash"] = replace(
            crash, when=lambda s: all_of(crash.when(s), *(negate(s.recover.at == label) for label in elsewhere))
        )
    return replace(table, steps=steps, history=history)


def test_mixing_serves_alike() -> None:
    """Only steps of recovery differ between merged and hardened: what they write while they serve is the same."""
    merged, hardened = TEXT["merged"].steps, TEXT["hardened"].steps
    differing = {i for i in merged.keys() | hardened.keys() if merged.get(i) != hardened.get(i)}
    assert differing
    assert {i for i in differing if not i.startswith("packed.reconnect")} == {"packed.position"}


@pytest.mark.parametrize("bounds", [Bounds(1, 2, 3), Bounds(2, 2, 2)], ids=Bounds.text)
@pytest.mark.campaign
def test_mixing_merged_then_hardened(bounds: Bounds) -> None:
    """What merged leaves while it serves, hardened recovers."""
    assert search(mixed(), bounds, SAFE - {"restartable"}).violations == {}


@pytest.mark.parametrize("label", OWN)
def test_mixing_in_recovery(label: str) -> None:
    """Merged may die in recovery before it begins to roll back; from its first store there on hardened is misled."""
    found = search(mixed(label), Bounds(1, 2, 2), SAFE - {"restartable"})
    misled = OWN.index(label) > OWN.index("roll back")
    assert ("no-used-resubmitted" in found.violations) == misled
    assert bool(found.violations) == misled


# Generated parts.


@pytest.mark.campaign
def test_documents_are_up_to_date() -> None:
    """What stands between the comments is what the runs and the record give; `python -m tools.generated --write`."""
    assert generated.stale_pages(ROOT) == []


@pytest.mark.campaign
def test_a_stale_part_is_found_and_mended(tmp_path: Path) -> None:
    """A changed row is noticed, and written anew."""
    (tmp_path / "docs").mkdir()
    for page in pages.PAGES:
        (tmp_path / page).write_text((ROOT / page).read_text(encoding="utf-8"), encoding="utf-8")
    stale = ERRATA.replace("**the back-end dies**", "nothing happens", 1)
    (tmp_path / "docs" / "errata.md").write_text(stale, encoding="utf-8")
    assert generated.stale_pages(tmp_path) == ["docs/errata.md"]
    generated.write_pages(tmp_path)
    assert generated.stale_pages(tmp_path) == []


def test_unknown_part() -> None:
    """A part that nobody generates is an error, not an empty table."""
    with pytest.raises(LookupError, match="no part of a document is called 'no such run'"):
        pages.filled("<!-- generated: no such run -->\n<!-- end -->\n")


def test_steps_of_the_page_exist() -> None:
    """Each edit and each revision that the page names is one of the model's."""
    assert {name for name in HARDENED_EDITS if f"`{name}`" in ERRATA} == set(HARDENED_EDITS)
    assert set(re.findall(r"--revision (\w+)", ERRATA)) <= set(REVISIONS)
    assert set(re.findall(r"--property ([\w-]+)", ERRATA)) <= set(NAMES)


@pytest.mark.campaign
def test_readings_are_all_recorded() -> None:
    """Each reading has an entry, from complete searches where it breaks nothing; the quickest search is done again."""
    entries = {(e["gap"], e["choice"]): e for e in readings.recorded()}
    assert [key for key, e in entries.items() if not e["violated"] and not e["complete"]] == []
    assert set(entries) == {(gap.name, choice.name) for gap, choice in readings.open_readings()}
    quick, smaller = readings.BOUNDS[0], Bounds(2, 1, 1)
    for gap, choice in readings.open_readings():
        table, bounds = quiet(readings.hardened_with(choice)), smaller if choice.name == "smaller" else quick
        found = explore(table, readings.sizes(gap, choice, bounds), bounds, SAFE, every=True)
        assert set(found.violations) <= set(entries[gap.name, choice.name]["violated"]), (gap.name, choice.name)
