"""One numbering: a step has the same number in the model's tables, in the story of `recover`, and in the proposal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from model import protocol
from model.proposal import numbers
from model.protocol import Subject
from tests.test_recover import interrupted, packed_crash, state
from vhost_inflight.recover import parse, recover
from vhost_inflight.recover.story import _WRITERS, _group

CRASHES = ("packed.supply.6a", "packed.supply.7", "packed.supply.8", "packed.supply.9a")


def places(document: dict[str, Any]) -> Iterator[tuple[set[str], str]]:
    """Yield each line's place in the text, with the steps that it tells of."""
    recovery = recover(parse(document))
    for writer, events in groupby(recovery.events, lambda e: _WRITERS[recovery.given.ring].get(_group(e.step))):
        if writer is not None:
            told = list(events)
            yield from (({e.step for e in told}, line.place) for line in writer(recovery, told))


def numbered(ring: str, revision: str, document: dict[str, Any]) -> set[str]:
    """Check the numbers of a story; give the places that have one."""
    table, merged = (protocol.table(Subject(ring, name)).steps for name in (revision, "merged"))
    found = set()
    for steps, place in places(document):
        told = {numbers(table[step].text, revision) for step in steps}
        if not re.search(r"\d", place):
            assert not place.startswith(("reconnecting", "hardened"))
            continue
        assert re.fullmatch(r"(hardened )?reconnecting, \d(\([a-z]\))?( to \d\([a-z]\))?", place)
        assert {listed for listed, _ in told} == {"reconnecting"}
        assert set(re.findall(r"\d(?:\([a-z]\))?", place)) <= {n for _, some in told for n in some}
        assert place.startswith("hardened") == (not steps & merged.keys())
        found.add(place)
    return found


@pytest.mark.parametrize("revision", ["v6", "merged", "hardened"])
def test_numbers_of_a_packed_story(revision: str) -> None:
    """Those of the text; a sentence that only the proposal has says so, in the words of `explain`."""
    rigs = [packed_crash(step, 1, revision) for step in CRASHES]
    found = {place for rig in rigs for place in numbered("packed", revision, state(rig))}
    assert {place for place in found if not place.startswith("hardened")} == {
        "reconnecting, 1", "reconnecting, 1(a) to 1(c)", "reconnecting, 1(c)", "reconnecting, 2", "reconnecting, 3",
        "reconnecting, 4",
    }  # fmt: skip
    assert {place for place in found if place.startswith("hardened")} == (
        {"hardened reconnecting, 1(c)", "hardened reconnecting, 2"} if revision == "hardened" else set()
    )


@pytest.mark.parametrize("revision", ["v6", "merged"])
def test_numbers_of_a_split_story(revision: str) -> None:
    """Those of the text."""
    found = numbered("split", revision, state(interrupted(revision)))
    assert {"reconnecting, 1", "reconnecting, 1(a)", "reconnecting, 1(b)", "reconnecting, 1(c)"} <= found


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_the_proposal_keeps_the_numbers(ring: str) -> None:
    """What `hardened` adds stands under a number that the text has; no step of `merged` gets another one."""
    merged, hardened = (protocol.table(Subject(ring, name)).steps for name in ("merged", "hardened"))
    known = {numbers(step.text, "merged") for step in merged.values()}
    lists = {(listed, number) for listed, some in known for number in some}
    for name, step in hardened.items():
        listed, some = numbers(step.text, "hardened")
        assert {(listed, number) for number in some} <= lists, name
        if name in merged:
            assert (listed, some) == numbers(merged[name].text, "merged"), name
    assert {(s.place, s.number) for s in protocol.sentences(ring) if s.number} <= lists
