"""The table of memory orders: its runs are played again, what it calls proved is looked up, it follows from both."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from model import protocol
from model.memory.accesses import made
from model.memory.kinds import ARM, COMPILER, STORE_STORE, X86
from model.terms import ModelError
from proofs.orders import __main__ as command
from proofs.orders import checking, searching
from proofs.orders.answers import Answer, Joint, Level, Told, load
from proofs.orders.checking import check, fault
from proofs.orders.forms import NOTHING, form
from proofs.orders.page import PAGE, page
from proofs.orders.pairs import rows
from proofs.orders.points import PARTS, Part, part
from proofs.orders.runs import MemoryRun
from proofs.orders.searching import Pairs, joint, parts, unseen
from proofs.search.bounds import Bounds

ROOT = Path(__file__).parents[2]
QUICK = {"split": Level(Bounds(1, 2, 1)), "packed": Level(Bounds(1, 1, 1))}


@cache
def recorded(ring: str) -> tuple[Told, ...]:
    """Give the rows of a ring."""
    return load(ring)[1]


@cache
def joints(ring: str) -> tuple[Joint, ...]:
    """Give the searches with all but the points left to the memory."""
    return load(ring)[0]


def row(ring: str, earlier: str, later: str) -> Told:
    """Give the row of a pair."""
    return next(t for t in recorded(ring) if (t.row.earlier, t.row.later) == (earlier, later))


def run_of(told: Told) -> MemoryRun:
    """Give its run on the compiler's memory."""
    run = told.answers[COMPILER.name].run
    assert run is not None
    return run


SETTLE = ("split", "split.supply.6", "split.supply.7")
"""A pair of the split ring: a batch is settled before its last inflight field is cleared."""


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_the_record_holds(ring: str) -> None:
    """Each run violates its property at its last event and not with its pair kept; what is proved, is."""
    checked = check(ring, recorded(ring))
    assert checked.faults == ()
    assert checked.needed == sum(t.needed for t in recorded(ring)) > 15


def test_the_page_is_the_record() -> None:
    """As the command writes it."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page()


def test_every_pair_has_a_row() -> None:
    """Each pair that comes about within bounds that are quick is in the record, as it is there."""
    for one, bounds in ((PARTS[0], Bounds(2, 2, 1)), (PARTS[1], Bounds(1, 1, 1))):
        known = {t.row for t in recorded(one.subject.ring)}
        known_pairs = {(r.earlier, r.later): r for r in known}
        for found in rows(one, ((bounds, False), (Bounds(1, 1, 0), True))):
            told = known_pairs[found.earlier, found.later]
            assert (told.kind, told.kept) == (found.kind, found.kept)
            assert told.neighbours or not found.neighbours


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_neighbour_store_of_the_text_is_in_a_pair(ring: str) -> None:
    """Serving, recovery and initialisation: no store of the back-end is left out."""
    names = {name for t in recorded(ring) for name in (t.row.earlier, t.row.later)}
    for one in parts(ring):
        for what in made(protocol.table(one.subject), one.agent).values():
            assert what.store is None or what.store.name in names


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_the_points_are_enough(ring: str) -> None:
    """The quick search of those that are recorded sees as many states, and no violation."""
    one, level = parts(ring)[0], QUICK[ring]
    found = joint(one, level)
    assert found.complete
    known = [j for j in joints(ring) if j.level == level and not j.moves and j.part == one.name]
    assert not known or known == [found]


@pytest.mark.parametrize(
    ("ring", "point"),
    [("split", "split.init.3"), ("split", "split.supply.5"), ("split", "split.supply.7"), ("packed", "packed.init.5")],
)
def test_a_point_left_out_is_found_by_the_search(ring: str, point: str) -> None:
    """Without it the memory may do something that violates a property."""
    one = parts(ring)[0]
    with pytest.raises(ModelError, match="the points do not keep"):
        joint(replace(one, after=tuple(p for p in one.after if p != point)), QUICK[ring])


@pytest.fixture
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave a point out of what the back-ends of a ring keep."""
    ring, point = map(str, request.param)

    def less(one: Part) -> Part:
        after, before = (tuple(p for p in points if p != point) for points in (one.after, one.before))
        return replace(one, after=after, before=before) if one.subject.ring == ring else one

    changed = tuple(less(one) for one in PARTS)
    for module in (checking, searching):
        monkeypatch.setattr(module, "PARTS", changed)
    return ring


EVERY_POINT = [
    (ring, p) for ring in protocol.RINGS for p in sorted({p for one in parts(ring) for p in one.after + one.before})
]


@pytest.mark.parametrize("without", EVERY_POINT, indirect=True, ids=lambda dropped: dropped[1])
def test_an_order_dropped_is_noticed(without: str) -> None:
    """The rows that it kept say so, and nothing keeps them now."""
    told = [t for t in recorded(without) if t.row.kept]
    light = [replace(t, answers={n: replace(a, run=None) for n, a in t.answers.items()}) for t in told]
    assert any("no point keeps it now" in wrong for wrong in check(without, light).faults)


def test_a_point_too_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that keeps nothing that a run needs."""
    one = PARTS[0]
    changed = (replace(one, after=(*one.after, "split.supply.id")), *PARTS[1:])
    monkeypatch.setattr(searching, "PARTS", changed)
    said = "nothing is shown to need what comes after split.supply.id"
    assert said in check("split", recorded("split")).faults


def test_a_spare_point_that_is_needed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was shown to be needed is not called spare."""
    changed = (replace(PARTS[0], spare=frozenset({"after split.supply.7"})), *PARTS[1:])
    monkeypatch.setattr(searching, "PARTS", changed)
    assert any("after split.supply.7" in wrong for wrong in check("split", recorded("split")).faults)


def test_a_run_is_found_anew() -> None:
    """As short as the recorded one, on each memory that needs the order."""
    for ring, earlier, later in (
        SETTLE,
        ("split", "split.init.1", "split.init.3"),
        ("packed", "packed.init.2", "packed.init.5"),
    ):
        told = row(ring, earlier, later)
        found = Pairs().answers(part(ring, told.part), told.row)
        assert {n: a.run and (a.run.violates, len(a.run.events)) for n, a in found.items()} == {
            n: a.run and (a.run.violates, len(a.run.events)) for n, a in told.answers.items()
        }


def test_a_run_that_shows_nothing_is_found() -> None:
    """One that ends early, goes on, turns another pair round, or is impossible."""
    run = run_of(row(*SETTLE))
    assert fault(run) == ""
    assert "violated nowhere" in fault(replace(run, events=run.events[:-1]))
    assert "before the end" in fault(replace(run, events=(*run.events, ("driver.make.1", 0))))
    assert "no run" in fault(replace(run, free=("split.supply.5", "split.supply.6")))
    assert "no run" in fault(replace(run, memory="program order"))


def test_a_run_that_does_not_hang_on_its_pair_is_found() -> None:
    """The pair is kept, and it goes wrong all the same."""
    run = run_of(row(*SETTLE))
    other = replace(run, free=(run.free[0], "split.supply.5"), past=(*run.past, run.free[1]))
    assert fault(other) == "it goes wrong with its pair kept, too"


def test_a_run_of_another_row_is_found() -> None:
    """A row may not borrow a run."""
    told, other = row(*SETTLE), row("split", "split.init.1", "split.init.3")
    borrowed = replace(told, answers={**told.answers, COMPILER.name: other.answers[COMPILER.name]})
    assert any("its run is one of" in wrong for wrong in check("split", [borrowed]).faults)


def test_what_is_called_proved_is_looked_up() -> None:
    """Used elements are seen by the driver; the region is not."""
    told = row("split", "split.supply.id", "split.supply.5")
    claimed = replace(told, answers={**told.answers, ARM.name: Answer(None, "proved: because I say so")})
    assert any("not proved" in wrong for wrong in check("split", [claimed]).faults)
    one = part("split", told.part)
    assert unseen(one, told.row) == ""
    assert unseen(one, row(*SETTLE).row) == "proved: no step of the driver reads what split.supply.6 stores"


def test_a_driver_that_reads_the_region_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is about what the steps of the driver read."""
    monkeypatch.setattr(searching, "fields_read", lambda _: ("region.desc[].inflight", "region.used_idx"))
    searching._unread_by_peers.cache_clear()  # what was found with the real steps
    try:
        assert unseen(part("split", "back-end"), row(*SETTLE).row) == ""
    finally:
        searching._unread_by_peers.cache_clear()


def test_forms() -> None:
    """The processor's form where the driver pays, a compiler's fence where the next process does, nothing elsewhere."""
    assert "memory_order_release)` for the second" in form(row("split", "split.supply.id", "split.supply.5"))
    assert "atomic_thread_fence(memory_order_seq_cst)" in form(
        row("split", "split.supply.5", "split.notify.look avail.used_event")
    )
    assert "memory_order_acquire)` for the first" in form(
        row("split", "split.fetch.look avail.idx", "split.fetch.1 avail.ring")
    )
    assert "atomic_signal_fence" in form(row(*SETTLE))
    assert form(row("split", "split.init.2", "split.init.3")) == NOTHING


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_x86_needs_nothing_but_full_fences(ring: str) -> None:
    """Stores are seen in order there, and loads are made in order."""
    for told in recorded(ring):
        if told.answers and told.answers[X86.name].run:
            assert told.row.kind == "store, load"
        if told.answers and told.row.kind == STORE_STORE:
            assert told.answers[X86.name].because.startswith(("by itself", "proved"))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Checks a ring; says what it can do where it is asked for something else."""
    assert command.main(["check", "split"]) == 0
    assert "orders are needed" in capsys.readouterr().out
    assert command.main(["chek"]) == 2
    assert "usage" in capsys.readouterr().err


def test_no_file_is_left_over() -> None:
    """Each run's file is a row's."""
    for ring in protocol.RINGS:
        folder = ROOT / "proofs" / "recorded" / ring / "orders"
        names = {a.run.file_name for t in recorded(ring) for a in t.answers.values() if a.run}
        assert {path.name for path in folder.iterdir()} == names
        assert all(json.loads((folder / name).read_text())["memory"]["kind"] for name in names)
