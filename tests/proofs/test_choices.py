"""Proofs that turn on a choice: sentences hold along runs, each proof can fail, what is bounded says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from model import protocol
from model.both.words import RUNNING
from model.interpret import Machine
from model.protocol import Subject
from model.record import State
from model.steps import Edit, Replace
from model.terms import wrap
from proofs.induction.kits import induction_of, kit
from proofs.induction.proof import Proof
from proofs.induction.words import Conjunct
from proofs.split.at_once import at_once
from proofs.split.differs import Differs
from proofs.verdicts import recorded, subjects
from tests.model.runs import name_of, random_run
from tests.proofs.proving import unproved

Do = Callable[[Any], None]

TURNED = (
    ("used-element", "before-publish"), ("fresh-used-idx", "zero"), ("init-order", "version-first"),
    ("recovery-start", "every-kick"), ("fetch-position", "avail-idx"), ("signal-at-start", "never"),
    ("signal-at-start", "on-mismatch"),
)  # fmt: skip
"""Choices for which some sentences differ."""

ASTRAY = (
    ("fetch-position", "used-idx"), ("used-element", "after-publish"), ("batch-size", "mod-queue-size"),
    ("batch-size", "signed"), ("fetch-in-batch", "always"), ("reset", "kept"), ("reset", "kept-alive"),
    ("region-size", "smaller"),
)  # fmt: skip
"""Choices of which the plain sentences alone are true."""


def chosen(gap: str, choice: str, revision: str = "merged") -> Subject:
    """Give a subject with one choice."""
    return Subject.of("split", revision, {gap: choice})


@pytest.mark.parametrize("subject", [chosen(*c, r) for c in (*TURNED, *ASTRAY) for r in ("v6", "merged")], ids=name_of)
@pytest.mark.campaign
def test_holds_along_random_runs(subject: Subject) -> None:
    """Every sentence that a proved property rests on holds in every state."""
    table = induction_of("split").with_ghosts(protocol.table(subject))
    broken = {"order"} if ("recovery-start", "every-kick") in subject.choices else set()
    for size, first in ((2, 65534), (4, 65533), (4, 0), (8, 1)):
        machine = Machine(table, protocol.sizes(subject, size, first), check=True)
        told = [c for c in induction_of("split").invariant(table) if c.group not in broken]
        sentences = [(c.name, machine.predicate(c.holds)) for c in told]
        for seed in range(6):
            for step_id, _, after in random_run(machine, seed, 250):
                assert [name for name, holds in sentences if not holds(after)] == [], (size, seed, step_id)


def test_what_a_table_differs_in_is_read_from_its_steps() -> None:
    """Each choice that some sentence turns on is seen, and no other is."""
    usual = vars(Differs(protocol.table(Subject("split", "merged"))))
    assert not any(usual.values())
    seen = {s.choices[0] for s in subjects("split") if s.choices and any(vars(Differs(protocol.table(s))).values())}
    assert seen == {*TURNED, *ASTRAY, ("fresh-used-idx", "zero-and-skip")}
    astray = {s.choices[0] for s in subjects("split") if s.choices and Differs(protocol.table(s)).astray}
    assert astray == set(ASTRAY)


# A step that is wrong, and the property of which the proof must then fail.


def _used_idx(s: Any) -> None:
    s.region.used_idx = wrap(s.used.idx + 1, 16)


def _nothing(_: Any) -> None:
    """Do nothing."""


def _earlier(s: Any) -> None:
    s.fetch.last_avail = wrap(s.avail.idx - 1, 16)


def _resubmitted_kept(s: State) -> None:
    begin: Any = s
    begin.recover.at = "compare"
    begin.fetch.at = "off"
    begin.supply.at = "off"


def _wrong(step_id: str, **changes: Any) -> list[Edit]:
    return [Replace(step_id, changes)]


SABOTAGES: tuple[tuple[tuple[str, str], str, list[Edit]], ...] = (
    (TURNED[0], "intact", _wrong("split.supply.5", when=lambda s: s.supply.cursor + 1 >= s.supply.count)),
    (TURNED[1], "nothing-lost", _wrong("split.reconnect.1c", do=_nothing)),
    (TURNED[2], "nothing-lost", _wrong("split.init.2", do=_used_idx)),
    (TURNED[3], "nothing-lost", _wrong("connection.kick", do=_resubmitted_kept)),
    (TURNED[3], "ring-position", _wrong("connection.kick", when=lambda s: s.recover.at == RUNNING)),
    (TURNED[4], "no-used-resubmitted", _wrong("split.position", do=_earlier)),
    (TURNED[4], "restartable", _wrong("split.position", do=_earlier)),
    (TURNED[5], "nothing-lost", _wrong("split.reconnect.ready", when=lambda s: s.recover.at == "resubmit")),
    (TURNED[6], "nothing-lost", _wrong("split.reconnect.ready", when=lambda s: s.recover.mismatch == 0)),
    *((choice, "well-formed", _wrong("split.supply.7", do=_used_idx)) for choice in ASTRAY),
    *((choice, "well-formed", _wrong("split.reconnect.1c", do=_nothing)) for choice in ASTRAY[::4]),
)


@pytest.mark.parametrize(("choice", "prop", "edits"), SABOTAGES, ids=lambda x: x if isinstance(x, str) else None)
def test_a_step_that_is_wrong_is_not_proved(choice: tuple[str, str], prop: str, edits: list[Edit]) -> None:
    """With the step as it is the property is proved; with the wrong one a goal of it fails."""
    subject = chosen(*choice)
    assert {v.verdict for v in recorded("split") if v.subject() == subject and v.property == prop} == {"proved"}
    assert unproved(subject, edits, prop)


def test_what_is_left_is_idle_only_where_it_turns_on_the_driver() -> None:
    """`restartable` may assume an idle driver: one choice needs it, of one thing that recovery leaves."""
    ring = induction_of("split")
    needed = {s.choices: ring.while_idle(Proof(s).table) for s in subjects("split")}
    assert {c: n for c, n in needed.items() if n} == {(TURNED[4],): frozenset({"fetch.last_avail"})}


@pytest.mark.parametrize("ring", [r for r in protocol.RINGS if kit(r).bounded])
def test_what_is_bounded_says_why(ring: str) -> None:
    """No bounded row is without a reason, and no reason without a row."""
    rows = {(*v.subject().choices[0], v.property) for v in recorded(ring) if v.verdict == "bounded"}
    assert rows == set(kit(ring).bounded)
    assert all(len(reason) > 40 for reason in kit(ring).bounded.values())


def test_what_goes_astray_turns_on_nothing_that_is_read_early() -> None:
    """Nothing that is proved of a back-end which may read what is being written turns on it; what does is seen."""
    subject = chosen(*ASTRAY[0])
    assert list(at_once([Proof(subject)])) == []
    ring, plain = induction_of("split"), induction_of("split").invariant
    lists = Conjunct("lists head 0", lambda s: s.avail.ring[0] == 0)
    told = Proof(subject, ring=replace(ring, invariant=lambda table: [*plain(table), lists]))
    assert list(at_once([told])) == [f"{subject.name}: lists head 0:0 turns on what the driver writes early"]
