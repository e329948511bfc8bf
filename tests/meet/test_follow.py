"""Profiles are held against programs: what these stored is recorded (`python -m tools.follow`), and followed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model import protocol
from model.gaps import Gap
from model.packed.revisions import REVISIONS, V6
from model.protocol import Subject
from model.steps import Replace, Table
from tools.follow import HELD, Held
from vhost_inflight.conformance.points import Point, Said
from vhost_inflight.following.follower import LOOSE, follow
from vhost_inflight.following.trace import Life, Trace, _stores

NAMED = {held.name: held for held in HELD}

SEEN = {
    "made-before-hand-over": "packed-in-use-calm",
    "mark-instead-of-flags": "packed-mixed-76-after",
    "indexes-first": "packed-mixed-76-after",
    "roll-back-unsubmitted-alone": "packed-mixed-8-after",
    "position-from-old": "packed-mixed-80-after",
    "last-each-time": "packed-mixed-8-after",
    "from-old-free-head": "packed-mixed-8-after",
    "used-idx-in-two-stores": "packed-mixed-76-after",
    "next-kept": "packed-mixed-76-after",
    "element-with-flags": "packed-mixed-calm",
    "kicks-wanted": "packed-mixed-66-before",
}
"""Which case would be another one, if the profile of librte_vhost on the packed ring had not a difference.

The others take away what the text may do (batches, len, a signal, which is no store of these), or cannot be left out
alone (the marks of free entries).
"""


def librte_vhost() -> Table:
    return protocol.table(Subject("packed", "librte_vhost"))


@pytest.mark.parametrize("held", HELD, ids=lambda held: held.name)
def test_a_program_makes_the_stores_of_its_profile(held: Held) -> None:
    assert follow(protocol.table(held.subject), held.recorded(), held.without) is None


@pytest.mark.parametrize(("difference", "case"), SEEN.items(), ids=SEEN)
def test_a_difference_that_is_left_out_is_noticed(difference: str, case: str) -> None:
    known: dict[str, Gap] = protocol.judged("packed")
    profile = protocol.profiles("packed")["librte_vhost"]
    others = tuple(each for each in profile.differences if each.name != difference)
    assert len(others) == len(profile.differences) - 1
    table = replace(profile, differences=others, without=frozenset()).applied(V6.edited(REVISIONS["merged"]), known)
    assert follow(table, NAMED[f"dpdk-{case}"].recorded()) is not None


@pytest.mark.parametrize(
    ("profile", "case"),
    [("spdk-vhost-blk", "packed-mixed-calm"), ("hardened", "packed-mixed-8-after"), ("merged", "packed-mixed-8-after")],
)
def test_a_profile_of_another_program_is_noticed(profile: str, case: str) -> None:
    astray = follow(protocol.table(Subject("packed", profile)), NAMED[f"dpdk-{case}"].recorded())
    assert astray is not None
    assert astray.expected


def test_two_stores_of_a_profile_that_change_places_are_noticed() -> None:
    """Clearing and the first store of settling: whoever dies between them leaves something else."""
    clear, settle = (librte_vhost().step(f"packed.supply.{number}") for number in ("8", "9a"))
    table = librte_vhost().edited(
        [
            Replace("packed.supply.8", {"at": ("settled",), "when": lambda _: True, "to": "settle idx"}),
            Replace("packed.supply.9a", {"at": clear.at, "when": clear.when, "to": "settled"}),
        ]
    )
    assert settle.to == "settle idx"
    astray = follow(table, NAMED["dpdk-packed-mixed-8-after"].recorded())
    assert astray is None, "no request is given back in this one"
    astray = follow(table, NAMED["dpdk-packed-mixed-66-before"].recorded())
    assert astray is not None
    assert "region.desc[0].inflight := 0" in str(astray)


@pytest.mark.parametrize("step", ["packed.fetch.7", "packed.supply.9c", "packed.reconnect.1c1", "packed.init.5"])
def test_a_store_that_a_profile_lacks_is_noticed(step: str) -> None:
    """Without the store all else is as it was: what the process knows, and where it goes on."""
    was = librte_vhost().record(librte_vhost().step(step))
    (store,) = was.stores(librte_vhost().vars)
    field = store.name.rpartition(".")[2]

    def same(state: object, *chosen: object) -> None:
        was.step.do(_Deaf(state, field), *chosen)

    table = librte_vhost().edited([Replace(step, {"do": same})])
    case = {"packed.init.5": "packed-mixed-8-after", "packed.supply.9c": "packed-mixed-110-after"}
    assert follow(table, NAMED[f"dpdk-{case.get(step, 'packed-mixed-76-after')}"].recorded()) is not None


class _Deaf:
    """A state whose region takes no store to one field."""

    def __init__(self, state: object, field: str) -> None:
        object.__setattr__(self, "_state", state)
        object.__setattr__(self, "_field", field)

    def __getattr__(self, name: str) -> object:
        told = getattr(self._state, name)
        return _Deaf(told, str(self._field)) if name == "region" else told

    def __setattr__(self, name: str, value: object) -> None:
        if name != self._field:
            setattr(self._state, name, value)


def others(life: Life) -> list[Life]:
    """Give lives in which one store is missing, or two neighbours changed places."""
    stores, found = life.stores, []
    for at, store in enumerate(stores):
        if not any(_loose(field) for field, _ in store):
            found.append(replace(life, stores=(*stores[:at], *stores[at + 1 :])))
        if at and not any(_loose(field) for field, _ in (*store, *stores[at - 1])):
            found.append(replace(life, stores=(*stores[: at - 1], store, stores[at - 1], *stores[at + 1 :])))
    return found


def _loose(field: str) -> bool:
    named = field.replace("descriptors", "ring.desc").split("[")
    return len(named) > 1 and f"{named[0]}[]{named[1].partition(']')[2]}" in LOOSE


@pytest.mark.parametrize("name", ["qemu-split-in-use-calm", "dpdk-packed-mixed-76-after"])
def test_a_program_that_lacks_a_store_or_has_two_turned_round_goes_astray(name: str) -> None:
    held, trace = NAMED[name], NAMED[name].recorded()
    changed = [
        Trace(**{**vars(trace), "lives": (*trace.lives[:-1], life)})
        for life in others(trace.lives[-1])
    ]  # fmt: skip
    assert len(changed) > 15
    assert [each for each in changed if follow(protocol.table(held.subject), each) is None] == []


def test_a_trace_is_read_as_it_was_written() -> None:
    trace = HELD[0].recorded()
    assert Trace.read(trace.text()) == trace


def test_what_is_in_no_field_is_not_held_against_a_table() -> None:
    """It has no name there, as it has none in a record of before."""
    nowhere = Said(0, "region+0x130 (no field)", 0, 1)
    assert _stores([Point(1, 1, "x", 0, (nowhere,)), Point(2, 1, "x", 4, (nowhere, Said(0, "used.idx", 0, 1)))]) == (
        (),
        (("used.idx", 1),),
    )
