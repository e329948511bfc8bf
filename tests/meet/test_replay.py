"""Replay: what the model finds violated is violated on real memory too, as the reference's own judge sees it."""

import contextlib
import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from model import protocol
from model.interpret import Sizes
from model.protocol import Subject
from model.split.quiet import quiet
from model.terms import ModelError
from proofs.search.breadth_first import Bounds, Event, explore, table_for
from proofs.split.mutants import mutants
from vhost_inflight.judging.play.model_replay import replay_on_model
from vhost_inflight.judging.play.moments import Change
from vhost_inflight.judging.play.player import DivergenceError, Player
from vhost_inflight.judging.play.replay import replay, run
from vhost_inflight.judging.play.schedule import Schedule, ScheduleError, load, parse

RECORDED = Path(__file__).parents[2] / "proofs" / "recorded"
FILES = sorted(path for path in RECORDED.rglob("*.json") if '"vhost-inflight schedule 1"' in path.read_text()[:200])


def left(path: Path) -> Any:
    """Leave runs of other choices to the campaigns: test_recorded.py holds each against the model, event by event."""
    return pytest.param(path, marks=pytest.mark.campaign) if json.loads(path.read_text())["gaps"] else path


SMALL = Bounds(2, 2, 2, 0, 0)
RARE = Bounds(2, 2, 2, 1, 0)
USED = Bounds(2, 2, 2, 0, 1)
WRAP = Bounds(2, 2, 1, 0, 65535)
QUIET = Bounds(1, 1, 1, 0, 0)
TWO = Bounds(1, 2, 1, 0, 0)
THREE = Bounds(2, 3, 1, 0, 0)

CASES: list[tuple[str, dict[str, str], str, Bounds]] = [
    ("v6", {}, "order", SMALL),
    ("v6", {"resubmit-order": "any"}, "restartable", SMALL),
    ("merged", {"fetch-position": "used-idx"}, "no-used-resubmitted", SMALL),
    ("merged", {"fetch-position": "used-idx"}, "exactly-once", SMALL),
    ("merged", {"fetch-position": "avail-idx"}, "nothing-lost", SMALL),
    ("merged", {"fetch-position": "avail-idx"}, "ring-position", SMALL),
    ("merged", {"fetch-in-batch": "always"}, "nothing-lost", THREE),
    ("merged", {"used-element": "after-publish"}, "intact", SMALL),
    ("merged", {"signal-at-start": "never"}, "drains", QUIET),
    ("merged", {"ring-at-start": "wait"}, "drains", QUIET),
    ("merged", {"event-fields": "left"}, "drains", TWO),
    ("merged", {"counter-after-reconnect": "zero"}, "restartable", SMALL),
    ("merged", {"counter-after-reconnect": "zero"}, "order", SMALL),
    ("merged", {"counter-scope": "device-last"}, "order", RARE),
    ("merged", {"reset": "kept"}, "no-used-resubmitted", RARE),
    ("merged", {"recovery-start": "every-kick"}, "order", RARE),
    ("merged", {"region-size": "smaller"}, "nothing-lost", SMALL),
    ("merged", {"init-order": "version-first"}, "well-formed", USED),
    ("merged", {"fresh-used-idx": "zero-and-skip"}, "well-formed", USED),
    ("merged", {"batch-size": "signed"}, "no-used-resubmitted", WRAP),
    ("merged", {"batch-size": "mod-queue-size"}, "no-used-resubmitted", SMALL),
]


def found(revision: str, gaps: dict[str, str], name: str, bounds: Bounds) -> dict[str, Any]:
    """Search for a shortest counterexample and give it as the contents of a file."""
    subject = Subject.of("split", revision, gaps)
    sizes = protocol.sizes(subject, bounds.size, bounds.first)
    result = explore(table_for(subject, frozenset({name})), sizes, bounds, frozenset({name}))
    assert result.schedule, "the model finds nothing: another bound?"
    return written(subject, name, sizes, result.schedule)


def written(subject: Subject, name: str, sizes: Sizes, events: tuple[Event, ...]) -> dict[str, Any]:
    """Give the contents of a file for a schedule that a search found."""
    return {
        "format": "vhost-inflight schedule 1",
        "kind": "counterexample",
        "ring": "split",
        "revision": subject.revision,
        "gaps": dict(subject.choices),
        "mutant": None,
        "property": name,
        "queue_size": sizes.size,
        "region_size": sizes.entries,
        "first_index": sizes.first,
        "notifications": name == "drains",
        "schedule": [list(event) for event in events],
    }


@pytest.mark.parametrize(("revision", "gaps", "name", "bounds"), CASES)
def test_found(revision: str, gaps: dict[str, str], name: str, bounds: Bounds) -> None:
    """A counterexample that the search finds is reproduced, at its last event, and nothing is refused before."""
    document = found(revision, gaps, name, bounds)
    played = replay(parse(document))
    assert played.reproduced, played.verdict()
    assert len(played.moments) == len(document["schedule"])
    assert {v.event for v in played.violations if v.property == name} == {len(document["schedule"])}


# the two others are judged of what comes after the schedule, which is the same after one event less
@pytest.mark.parametrize(
    ("revision", "gaps", "name", "bounds"), [case for case in CASES if case[2] not in ("drains", "restartable")]
)
def test_one_event_less(revision: str, gaps: dict[str, str], name: str, bounds: Bounds) -> None:
    """The violation comes with the last event: without it there is none yet."""
    document = found(revision, gaps, name, bounds)
    document["schedule"].pop()
    assert not replay(parse(document)).reproduced


@pytest.mark.parametrize("path", [left(path) for path in FILES], ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_recorded(path: Path) -> None:
    """Each recorded counterexample violates on the reference what it names, each witness violates nothing."""
    schedule = load(path)
    if schedule.mutant is not None:
        pytest.skip("a mutant of the text, which the reference does not have")
    assert replay(schedule).reproduced


@pytest.fixture(scope="module")
def order() -> dict[str, Any]:
    """Give the contents of a file: v6 resubmits in the wrong order."""
    return found("v6", {}, "order", SMALL)


def test_print(order: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints each store with the field, old and new, and says whether the violation came."""
    path = tmp_path / "order.json"
    path.write_text(json.dumps(order))
    assert run(path)
    printed = capsys.readouterr().out
    assert "split.init.3" in printed
    assert "region.version: 0 → 1" in printed
    last = printed.splitlines()[-1]
    assert last.startswith("reproduced on real shared memory: order is violated at event")
    one, other = r"head \d, request 0", r"head \d, request 1"
    assert re.search(f"{one}, is given to the device after {other}, which was made available later$", last)
    assert printed.count("order is violated") == 1
    assert run(path, json_file=Path("-"))
    answer = json.loads(capsys.readouterr().out)
    assert (answer["reproduced"], answer["violations"][0]["property"]) == (True, "order")
    assert {"field": "region.version", "old": 0, "new": 1} in [s for e in answer["events"] for s in e["stores"]]


def test_off_a_terminal_each_line_stands_alone(
    order: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each store, or event without one: number, step and change, with nothing to pad it."""
    path = tmp_path / "order.json"
    path.write_text(json.dumps(order))
    assert run(path)
    lines = capsys.readouterr().out.splitlines()
    assert "4 split.init.3 region.version: 0 → 1" in lines
    assert not [line for line in lines if "  " in line or line != line.strip()]
    events = [line for line in lines if line[0].isdigit()]
    assert len(lines) == len(events) + 2
    stores = [c for moment in replay(parse(order)).moments for c in (moment.changes or [None])]
    assert len(events) == len(stores)
    lost = RECORDED / "packed" / "errata" / "whole-ring.json"
    assert run(lost)
    pictures = [line for line in capsys.readouterr().out.splitlines() if " | " in line]
    assert all(re.match(r"(56 crash|65 packed\.reconnect\.4 0) \| \w", line) for line in pictures)
    assert any("| slot 0: id 0, len 1, AVAIL USED (used in lap 1)" in line for line in pictures)


def test_the_model_says_of_which_request(capsys: pytest.CaptureFixture[str]) -> None:
    """A schedule of a mutant is judged by the model, which names the request too."""
    assert run(RECORDED / "packed" / "errata" / "half-rolled-back.json")
    last = capsys.readouterr().out.splitlines()[-1]
    assert "nothing-lost is violated at event 65: id 0 (request 0): not so: each outstanding request" in last


MUTANTS = [
    (ring, one)
    for ring in ("split", "packed")
    for one in json.loads((RECORDED / ring / "mutants.json").read_text())
    if one["killed_by"]
]


@pytest.mark.parametrize("name", ["no-used-resubmitted", "nothing-lost", "drains", "restartable", "intact", "order"])
def test_every_killed_mutant_has_a_reason(name: str) -> None:
    """Of the recorded runs: a sentence, and where one request is at stake, which; never just that it is so."""
    reasons = []
    for ring, one in MUTANTS:
        if one["killed_by"] != name:
            continue
        sizes = {key: one[key] for key in ("queue_size", "region_size", "first_index", "notifications", "revision")}
        document = sizes | {"format": "vhost-inflight schedule 1", "ring": ring, "mutant": one["mutant"]}
        document |= {"property": name, "schedule": one["schedule"]}
        with contextlib.suppress(ModelError):  # a mutant that leaves the range of a variable ends there
            reasons += [violation.reason for violation in replay(parse(document)).violations]
    assert reasons
    assert not [reason for reason in reasons if "as the model judges" in reason]
    if name in ("no-used-resubmitted", "nothing-lost", "drains"):
        assert all(re.match(r"(head|id|entry) \d", reason) for reason in reasons)


def test_not_reproduced(order: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same events that violate order lose nothing, and the command says so."""
    path = tmp_path / "order.json"
    path.write_text(json.dumps({**order, "property": "nothing-lost"}))
    assert not run(path)
    assert "NOT reproduced" in capsys.readouterr().out


def test_witness(order: dict[str, Any]) -> None:
    """A witness of a property does not violate it; what names nothing violates nothing."""
    witness = {**order, "property": None, "witness": "order"}
    assert not replay(parse(witness)).reproduced
    assert replay(parse({**witness, "schedule": order["schedule"][:-1]})).reproduced
    assert replay(parse({**witness, "witness": "nothing-lost"})).reproduced
    assert not replay(parse({**witness, "witness": None})).reproduced


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": "another"},
            'no schedule: format is "another"; wanted is an object with "format": "vhost-inflight schedule 1"',
        ),
        ({"format": "vhost-inflight state 1"}, "a state is for `recover`"),
        ({"queue_size": 0}, "at queue_size: 0 is less than 1"),
        ({"states": []}, 'at the top: there is no "states"; there are format, ring'),
        ({"schedule": [["crash"], []]}, r"at schedule\[1\]: \[\] is no event: an event is a step's id"),
        ({"schedule": [["crash"], ["crash", "0"]]}, r'at schedule\[1\]\[1\]: "0" is not of type integer'),
        ({"ring": "round"}, 'at ring: "round" is none of split, packed'),
        ({"region_size": None}, "at region_size: null is not of type integer"),
        (
            {"schedule": [["crash"], ["split.fetch.3"]]},
            r"at schedule\[1\]: there is no step 'split.fetch.3'; perhaps: split.fetch.2",
        ),
        ({"schedule": [["crash", *range(1000)]]}, r"at schedule\[0\]: .{,100} is no event"),
        ({"property": "ordre"}, "at property: there is no property 'ordre'; perhaps: order"),
        ({"revision": "v7"}, "at revision or gaps: there is no revision 'v7'"),
        ({"gaps": {"reset": "never"}}, "at revision or gaps: gap reset has no choice 'never'"),
    ],
)
def test_malformed(order: dict[str, Any], change: dict[str, Any], message: str) -> None:
    """A file that is no schedule is refused, and the error names the place in it."""
    with pytest.raises(ScheduleError, match=message):
        parse({**order, **change})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([{"gap": "reset"}] * 1000, r'^no schedule, but \[{"gap": .{,60}; wanted is an object with "format"'),
        ({}, "^no schedule: format is missing; wanted is"),
        ({"hold": 4, "batch": 2}, "format is missing; .*this is for `backend --schedule`"),
        ("schedule", '^no schedule, but "schedule"; wanted is'),
    ],
)
def test_other_documents(document: Any, message: str) -> None:
    """A document of another kind is told by its kind, in a line, however long it is."""
    with pytest.raises(ScheduleError, match=message) as refused:
        parse(document)
    assert len(str(refused.value)) < 200


def test_no_json(tmp_path: Path) -> None:
    """A file that is no JSON is refused, and the error names the file."""
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(ScheduleError, match=r"broken\.json: no JSON"):
        load(path)


@pytest.mark.parametrize("revision", ["v6", "merged"])
def test_mutants(revision: str) -> None:
    """A mutant is played by the model, which says so; the text resubmits what the mutant forgot."""
    subject = Subject.of("split", revision, {})
    (mutant,) = (m for m in mutants(protocol.table(subject)) if m.name == "drop split.fetch.2")
    name, table = "nothing-lost", quiet(protocol.table(subject).edited(mutant.edits))
    result = explore(table, protocol.sizes(subject, 2), SMALL, frozenset({name}))
    document = {**written(subject, name, protocol.sizes(subject, 2), result.schedule), "mutant": mutant.name}
    played = replay(parse(document))
    assert (played.on, played.reproduced) == ("the model's interpreter", True)
    assert Change("region.version", 0, 1) in [change for moment in played.moments for change in moment.changes]
    (violation,) = played.violations
    assert violation.reason == (
        "head 0 (request 0): not so: each outstanding request was resubmitted, or is to be fetched, and not both"
    )
    with pytest.raises(ModelError, match=r"split\.reconnect\.signal is not enabled here"):
        replay_on_model(parse({**document, "mutant": None}))
    with pytest.raises(DivergenceError, match=r"split\.reconnect\.signal: the reference did split\.reconnect\.2"):
        replay(parse({**document, "mutant": None}))


def test_no_mutant(order: dict[str, Any]) -> None:
    """A mutant that does not exist is refused, and near names are told."""
    with pytest.raises(
        ScheduleError, match=r"there is no mutant 'drop split.fetch.two'; perhaps: .*drop split.fetch.2"
    ):
        replay(parse({**order, "mutant": "drop split.fetch.two"}))


def test_the_model_plays_small_rings_alone(order: dict[str, Any]) -> None:
    """A mutant on the largest ring is refused, and does not take all memory."""
    with pytest.raises(
        ScheduleError, match="at queue_size or region_size: 32768 and 2, but the model plays up to 1024"
    ):
        replay(parse({**order, "mutant": "drop split.fetch.2", "queue_size": 32768}))


def test_a_chain_that_was_not_begun() -> None:
    """On a packed ring the driver cannot go on with a request that it has not begun, nor make it available."""
    document = json.loads((RECORDED / "packed" / "errata" / "whole-ring.json").read_text())
    events = document["schedule"]
    begin = next(place for place, event in enumerate(events) if event[0] == "driver.make.1")
    for step in ("driver.make.desc", "driver.make.head"):
        with pytest.raises(DivergenceError, match=f"{step}: the driver refuses: no request was begun"):
            replay(parse({**document, "schedule": [*events[:begin], [step]]}))


def altered(order: dict[str, Any], place: int, *events: list[Any]) -> Schedule:
    """Give the schedule with one event exchanged for others."""
    document = copy.deepcopy(order)
    document["schedule"][place : place + 1] = events
    return parse(document)


@pytest.mark.parametrize(
    ("place", "events", "message"),
    [
        (0, [["split.fetch.look"]], "event 1, split.fetch.look: there is no back-end"),
        (0, [["split.start.adopt"]], "event 1, split.start.adopt: the reference did split.start.fresh"),
        (1, [["split.init.3"]], "event 2, split.init.3: the reference did split.init.1"),
        (0, [["device.finish", 0]], "the device does not work on it"),
        (0, [["driver.make.2"]], "the driver refuses: no request was described"),
        (0, [["driver.use"]], "nothing waits to be used"),
        (0, [["split.start.fresh"], ["split.supply.1", 0]], "the reference did split.init.1"),
    ],
)
def test_divergence(place: int, events: list[list[Any]], message: str) -> None:
    """A schedule that the reference does not follow is an error that names the event and what was done instead."""
    start = ["split.start.fresh"], ["split.init.1"], ["split.init.2"], ["split.init.3"]
    order = {
        "format": "vhost-inflight schedule 1",
        "ring": "split",
        "revision": "v6",
        "queue_size": 1,
        "region_size": 1,
        "first_index": 0,
        "notifications": False,
        "schedule": [list(event) for event in start],
    }
    with pytest.raises(DivergenceError, match=message):
        Player(altered(order, place, *events)).play()
