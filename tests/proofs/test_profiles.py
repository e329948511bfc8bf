"""Profiles: what back-ends of others do has verdicts, runs that are played, and a mend without which a proof fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model import protocol
from model.interpret import Machine
from model.profiles.profile import MENDED, Difference, Profile
from model.properties import NAMES
from model.protocol import Subject
from model.steps import Replace, Table
from model.terms import ModelError
from proofs import verify
from proofs.challenges.selfcheck import as_if_shown, check
from proofs.induction.engine import prove_all
from proofs.induction.kits import induction_of
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore
from proofs.search.runs import runs
from proofs.verdicts import load_schedule, profiles, recorded_folder, recorded_profiles, violates
from refimpl.errors import UsageError
from tests.model.runs import random_run
from tests.proofs.proving import unproved
from vhost_inflight import explain_names
from vhost_inflight.explain import changes
from vhost_inflight.explain_text import text
from vhost_inflight.judging.crash import script
from vhost_inflight.judging.play.replay import replay
from vhost_inflight.judging.play.schedule import load

RECORD = [verdict for ring in protocol.RINGS for verdict in recorded_profiles(ring)]
VIOLATED = [v for v in RECORD if v.verdict == "violated"]
PROVED = list(dict.fromkeys(v.subject() for v in RECORD if v.verdict == "proved"))
ALL = [(ring, profile) for ring in protocol.RINGS for profile in protocol.profiles(ring).values()]


def _file(verdict: Any) -> Path:
    return recorded_folder(verdict.ring) / str(verdict.counterexample)


def _name(profile: tuple[str, Profile]) -> str:
    return f"{profile[0]}-{profile[1].name}"


@pytest.mark.parametrize("ring", [ring for ring in protocol.RINGS if protocol.profiles(ring)])
def test_every_profile_has_its_verdicts(ring: str) -> None:
    """One for each property of each profile, and a file for each that is violated, and no other file."""
    told = recorded_profiles(ring)
    assert [(v.subject(), v.property) for v in told] == [(s, name) for s in profiles(ring) for name in NAMES]
    folder = recorded_folder(ring) / "profiles"
    assert sorted(_file(v) for v in told if v.verdict == "violated") == sorted(folder.glob("*"))
    for verdict in told:
        assert (verdict.verdict == "proved") <= (not verdict.bounds), verdict
        assert (verdict.verdict == "bounded") <= bool(verdict.bounds), verdict


def test_nothing_mended_is_violated() -> None:
    """A mend is one: what is not proved of it has no run either."""
    assert not [v for v in VIOLATED if v.revision.endswith(MENDED)]
    assert any(v.revision.endswith(MENDED) and v.verdict == "proved" for v in RECORD)


@pytest.mark.parametrize("verdict", VIOLATED, ids=lambda v: f"{v.revision}-{v.property}")
def test_a_run_violates(verdict: Any) -> None:
    """Its last event violates its property, on the interpreter and as `replay` plays it: on the model too."""
    schedule = load_schedule(_file(verdict))
    assert (schedule.revision, schedule.gaps, schedule.property) == (verdict.revision, {}, verdict.property)
    assert violates(schedule)
    played = replay(load(_file(verdict)))
    assert (played.on, played.reproduced) == ("the model's interpreter", True)


def test_real_processes_refuse_a_profile() -> None:
    """The reference does what the text says, and is nobody else's back-end."""
    with pytest.raises(UsageError, match="is a back-end of others: only `replay` plays it, on the model"):
        script._check(load(_file(VIOLATED[0])))


def test_a_profile_has_made_its_choices() -> None:
    """None is asked for besides."""
    name = next(iter(protocol.profiles("split")))
    with pytest.raises(ModelError, match="is a profile: it has made its choices"):
        Subject("split", name, (("reset", "kept"),))


# Differences, and what they do.


def _without(profile: Profile, ring: str, name: str) -> Table | None:
    """Build the table without one difference; None where others cannot do without it."""
    kept = tuple(d for d in profile.differences if d.name != name)
    left = replace(profile, differences=kept, without=profile.without - {name}, mend=())
    try:
        return left.applied(protocol.table(Subject(ring, profile.base)), protocol.judged(ring))
    except ModelError:
        return None


def effects(ring: str, profile: Profile) -> Iterator[tuple[str, bool]]:
    """Say of each difference whether the table, or the sizes, are others without it."""
    table = protocol.table(Subject(ring, profile.name))
    for difference in profile.differences:
        other = _without(profile, ring, difference.name)
        sized = any(gap == "region-size" for gap, _ in difference.choices)
        yield difference.name, sized or other is None or bool(changes(other, table))


ORIGINAL = [one for one in ALL if not one[1].name.endswith(MENDED)]


@pytest.mark.parametrize("one", ORIGINAL, ids=_name)
def test_each_difference_makes_one(one: tuple[str, Profile]) -> None:
    """A difference without an effect on the table says something that nobody judges."""
    assert [name for name, does in effects(*one) if not does] == []


def test_a_difference_that_does_nothing_is_noticed() -> None:
    """It would be noticed."""
    profile = protocol.profiles("split")["libvhost-user"]
    idle = replace(profile, differences=(*profile.differences, Difference("idle", "nowhere", "nothing")))
    assert ("idle", True) not in [*effects("split", idle)]
    assert ("idle", False) in [*effects("split", idle)]


def test_differences_are_told() -> None:
    """Each has the function that it comes from and a sentence; `explain` prints all of it."""
    for ring, profile in ALL:
        (answer,) = explain_names.answers(profile.name, ring)
        told = " ".join(text(answer).split())
        assert profile.name in explain_names.names(ring)
        assert profile.program in told
        for difference in profile.differences:
            assert difference.function
            assert " ".join(difference.says.split()) in told, difference.name


LEFT: dict[str, tuple[Bounds, str]] = {
    "fresh-used-idx": (Bounds(2, 1, 1, 0, 1), "well-formed"),
    "never-notified": (Bounds(2, 1, 1, 0, 1), "drains"),
    "never-resubmitted": (Bounds(2, 1, 1), "nothing-lost"),
    "window": (Bounds(2, 3, 1), "order"),
    "every-kick": (Bounds(2, 2, 1, 1), "exactly-once"),
}
"""For each difference that a mend of a split ring's profile leaves out: where its return shows, and in what."""


@pytest.mark.parametrize(
    ("profile", "name"),
    [(p, name) for ring, p in ORIGINAL if ring == "split" for name in sorted(p.without)],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_each_part_of_a_mend_is_needed(profile: Profile, name: str) -> None:
    """Where a difference comes back, a run violates what is proved without it."""
    bounds, prop = LEFT[name]
    most = replace(profile, without=profile.without - {name}).mended()
    table = most.applied(protocol.table(Subject("split", most.base)), protocol.judged("split"))
    judged = table if prop == "drains" else runs("split").quiet(table)
    sizes = protocol.sizes(Subject("split", profile.name), bounds.size, bounds.first)
    assert explore(judged, sizes, bounds, frozenset({prop})).violated == prop
    told = {v.property: v.verdict for v in RECORD if v.revision == profile.name + MENDED}
    assert told[prop] != "violated"


# What is proved.


@pytest.mark.parametrize("subject", PROVED, ids=lambda s: f"{s.ring}-{s.revision}")
def test_the_census_knows_the_goals(subject: Subject) -> None:
    """Those that must exist, counted from the table by code of its own."""
    lemmas = dict.fromkeys(induction_of(subject.ring).lemmas, True)
    assert check(subject.ring, as_if_shown(subject.ring, [subject]), lemmas).faults == []


ENDS = ("crash", "driver.reset", "connection.reset")


def _eager(machine: Machine, seed: int, events: int) -> Iterator[tuple[str, Any]]:
    """Yield a run in which the back-end lives and acts whenever it can: it rests before the driver makes a request."""
    state, chance = machine.initial(), random.Random(seed)
    for _ in range(events):
        following = [s for s in machine.successors(state) if s[0] not in {machine.index[name] for name in ENDS}]
        own = [s for s in following if machine.steps[s[0]].step.procedure in ("recover", "fetch", "supply")]
        number, _, state = chance.choice(own or following)
        yield machine.steps[number].step.id, state


NOT_TAKEN = {"split.fetch.look", "packed.reconnect.unmark"}
"""Steps that some profiles leave without a way to them: avail.idx is read by another step; in a batch of one request no
used element is marked before the first."""


@pytest.mark.parametrize("subject", PROVED, ids=lambda s: f"{s.ring}-{s.revision}")
def test_the_invariant_holds_along_random_runs(subject: Subject) -> None:
    """In the groups that are proved; and each step is taken, so that nothing is proved of a step that never is."""
    table, proved = induction_of(subject.ring).with_ghosts(protocol.table(subject)), {"base"}
    proved |= {v.property for v in RECORD if v.subject() == subject and v.verdict == "proved"}
    proved |= {"counters"} if proved & {"order", "restartable"} else set()
    machine = Machine(table, protocol.sizes(subject, 2, 1), check=True)
    sentences = [
        (c.name, machine.predicate(c.holds)) for c in induction_of(subject.ring).invariant(table) if c.group in proved
    ]
    wanted, taken = set(table.steps) - NOT_TAKEN, set[str]()
    for seed in range(30):
        for step, state in (*((s, t) for s, _, t in random_run(machine, seed, 300)), *_eager(machine, seed, 100)):
            taken.add(step)
            assert [name for name, holds in sentences if not holds(state)] == [], step
        if seed > 3 and wanted <= taken:
            break
    assert wanted <= taken


def _distinct() -> list[Subject]:
    """Give those of which nothing is violated, of several with the same table the first."""
    found: dict[str, Subject] = {}
    violated = {v.subject() for v in VIOLATED}
    for subject in (s for s in PROVED if s not in violated):
        found.setdefault(f"{subject.ring} {_from_hardened(subject)}", subject)
    return list(found.values())


def _from_hardened(subject: Subject) -> list[dict[str, Any]]:
    hardened = protocol.table(Subject(subject.ring, "hardened"))
    return changes(hardened, protocol.table(subject))


def _proved(subject: Subject) -> set[str]:
    return {v.property for v in RECORD if v.subject() == subject and v.verdict == "proved"}


OFTEN = ("yc-libvhost-server", "libvhost-user-mended", "vhost-user-blk")


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(s, id=f"{s.ring}-{s.revision}", marks=() if s.revision in OFTEN else pytest.mark.campaign)
        for s in _distinct()
        if s.ring == "split"
    ],
)
def test_what_a_profile_changes_is_proved(subject: Subject) -> None:
    """The goals at its own steps, by Z3, now; those at all others are `verify --profiles`."""
    own = {change["id"] for change in _from_hardened(subject)} & set(protocol.table(subject).steps)
    shown = prove_all([subject], properties={subject: _proved(subject)}, only=own)
    assert own
    assert len(shown.results) > 10 * len(own)
    assert shown.unproved(subject) == []


def _nothing(s: Any) -> None:
    """Store what is there: the step's own store is missing."""
    s.region.last_batch_head = s.region.last_batch_head


SABOTAGES = {
    "libvhost-user-mended": ("split.fetch.arm", "drains"),
    "libvduse": ("split.init.1", "well-formed"),
    "yc-libvhost-server": ("split.reconnect.1.else", "well-formed"),
    "librte_vhost-mended": ("split.supply.3", "nothing-lost"),
}
"""For proved profiles, a step of their own, and a property that is not proved any more without what it does."""


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_sabotage_is_noticed(name: str) -> None:
    """A changed profile has a goal that fails."""
    step, prop = SABOTAGES[name]
    assert unproved(Subject("split", name), [Replace(step, {"do": _nothing})], prop)


def test_verify_judges_profiles_when_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them by the option, one of them by its name; of choices none."""
    asked: list[list[str]] = []
    monkeypatch.setattr(verify, "_judge", lambda _, __, chosen, *___: asked.append([s.revision for s in chosen]))
    every: dict[str, Any] = {"property_name": "order", "search": False, "quiet": True, "ring": "split"}
    assert verify.run(revision=None, gaps={}, with_profiles=True, **every)
    assert verify.run(revision="libvhost-user", gaps={}, **every)
    assert verify.run(revision=None, gaps={}, **every)
    assert verify.run(revision=None, gaps={"reset": "kept"}, with_profiles=True, **every)
    known = set(protocol.profiles("split"))
    assert [known & set(chosen) for chosen in asked] == [known, {"libvhost-user"}, set(), set()]
    assert asked[1] == ["libvhost-user"]


def test_verify_plays_the_runs_of_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    """And says what it found, with exit 0 where that is what is recorded."""
    verdict = next(v for v in VIOLATED if v.ring == "split")
    assert verify.run(ring="split", revision=verdict.revision, property_name=verdict.property, gaps={}, search=False)
    assert f"split {verdict.revision} {verdict.property}: violated" in capsys.readouterr().out
