"""Several requests made available at once: what is shown of them, and what is not shown of changed steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model import protocol
from model.steps import Edit, HistoryOf, Replace
from model.terms import all_of, ite, slot, wrap
from proofs import report
from proofs.induction.proof import Proof
from proofs.split.at_once import at_once

MERGED = protocol.Subject("split", "merged")


@pytest.mark.parametrize("revision", protocol.revisions("split"))
def test_they_are_as_one_after_the_other(revision: str) -> None:
    """With the defaults; `verify` looks at each choice of which something is proved."""
    assert list(at_once([Proof(protocol.Subject("split", revision))])) == []


@pytest.mark.parametrize("choice", ["elements", "one-element"])
def test_so_are_they_for_a_driver_that_takes_in_order(choice: str) -> None:
    """It reads what it listed, where nothing is free; not, where it looks one further."""
    subject = protocol.Subject.of("split", "hardened", {"in-order": choice})
    assert list(at_once([Proof(subject)])) == []

    def one_further(s: Any) -> Any:
        return s.avail.ring[slot(wrap(s.driver.next_used + 1, 16))] == s.driver.named

    def none_left(s: Any) -> Any:
        return wrap(s.driver.next_used + 1, 16) == s.avail.idx

    for step_id, guard, what in (("last", one_further, "avail.ring"), ("broken", none_left, "avail.idx")):
        edits = [Replace(f"driver.use.{step_id}", {"when": guard})]
        faults = list(at_once([Proof(subject, protocol.table(subject).edited(edits))]))
        assert faults == [f"{subject.name}: driver.use.{step_id} reads {what}"]


def _fetch_further(s: Any) -> None:
    s.fetch.head = s.avail.ring[slot(wrap(s.fetch.last_avail + 1, 16))]
    s.fetch.last_avail = wrap(s.fetch.last_avail + 1, 16)


def _submit_another(s: Any) -> None:
    s.device.state[s.fetch.head] = 1
    s.device.given[s.fetch.head] = s.table[s.driver.head]


def _submit_any(s: Any) -> None:
    s.device.state[s.fetch.head] = 1
    s.device.given[s.fetch.head] = s.table[s.supply.head]


def _look_behind(s: Any) -> None:
    s.driver.wants_kick = ite(s.used.avail_event == s.avail.idx, 1, 0)


def _look_always(s: Any) -> None:
    s.driver.wants_kick = 1


def _raise_avail(s: Any) -> None:
    s.avail.idx = s.fetch.last_avail


SLOT, CHAIN = (f"split.{step} where the driver writes the next request" for step in (
    "fetch.1 may read avail.ring", "fetch.submit may read table"))  # fmt: skip
MORE = "driver.kick.look sees a wish that one look for several does not"
LESS = "driver.kick.look does not see a wish that one look for several does"


def _do(step_id: str, do: Callable[[Any], None]) -> Edit:
    return Replace(step_id, {"do": do})


@pytest.mark.parametrize(
    ("edit", "faults"),
    [
        (_do("split.fetch.1", _fetch_further), {SLOT}),
        (Replace("split.fetch.1", {"when": lambda _: all_of()}), {SLOT}),
        (_do("split.fetch.submit", _submit_another), {CHAIN, "split.fetch.submit reads driver.head"}),
        (_do("split.fetch.submit", _submit_any), {CHAIN}),
        (_do("driver.kick.look", _look_behind), {MORE, LESS}),
        (_do("driver.kick.look", _look_always), {MORE}),
        (Replace("driver.use", {"when": lambda s: s.avail.idx != s.used.idx}), {"driver.use reads avail.idx"}),
        (_do("split.idle.look", _raise_avail), {"split.idle.look writes avail.idx"}),
        (Replace("split.notify.none", {"when": lambda s: s.driver.num_free == 0}),
         {"split.notify.none reads driver.num_free"}),
    ],
)  # fmt: skip
def test_a_changed_step_is_refused(edit: Edit, faults: set[str]) -> None:
    """Each way in which what the driver prepares could be seen before it is made available, or a wish be missed."""
    table = protocol.table(MERGED).edited([edit])
    told = set(at_once([Proof(MERGED, table)]))
    assert told == {f"merged: {fault}" for fault in faults}


def test_the_history_is_nobody_s_reading() -> None:
    """What a step's history reads no program reads."""
    edit = HistoryOf("split.notify.none", lambda s: setattr(s.history, "undisturbed", s.driver.num_free))
    assert list(at_once([Proof(MERGED, protocol.table(MERGED).edited([edit]))])) == []


def test_a_fault_is_told_and_nothing_is_called_proved() -> None:
    """Line by line."""
    assert report.reduction("it holds", []) == "proved: it holds"
    assert report.reduction("it holds", ["a", "b"]) == "not shown: it holds\n    wrong: a\n    wrong: b"
