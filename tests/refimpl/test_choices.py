"""Choices, hooks and errors: small things that everything else leans on."""

import dataclasses
import multiprocessing
import signal

import pytest

from refimpl import errors
from refimpl.choices import GAPS_OF, RINGS, Choices, of_each_ring, open_in
from refimpl.errors import UsageError
from refimpl.hooks import (
    BACKEND_STEPS_OF,
    BACKEND_STORES_OF,
    CONNECTION_STORES,
    DRIVER_STEPS_OF,
    STEP_IDS_OF,
    STORING_STEP_IDS_OF,
    chain,
    crash_at,
    silent,
)

EVERY_CHOICE = [
    (ring, gap, choice) for ring, gaps in GAPS_OF.items() for gap, choices in gaps.items() for choice in choices
]


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("revision", ["v6", "merged", "hardened"])
def test_defaults_are_the_first_choices(ring: str, revision: str) -> None:
    """Without a word, each gap has the first choice of its row."""
    made = Choices(ring=ring, revision=revision)
    assert {gap: choices[0] for gap, choices in GAPS_OF[ring].items()} == made.to_mapping()
    assert made == Choices.from_mapping(made.to_mapping(), revision, ring)


def test_each_gap_is_a_field() -> None:
    """There is a field for each gap of either ring, the revision, the ring, and nothing else."""
    fields = {field.name for field in dataclasses.fields(Choices)}
    gaps = {gap.replace("-", "_") for ring in RINGS for gap in GAPS_OF[ring]}
    assert fields == {"revision", "ring", *gaps}


@pytest.mark.parametrize(("ring", "gap", "choice"), EVERY_CHOICE)
def test_every_choice_can_be_made(ring: str, gap: str, choice: str) -> None:
    """Each choice is accepted by its name, alone, where a revision leaves the gap open, and nowhere else."""
    gaps = GAPS_OF[ring]
    for revision in open_in(gap):
        choices = Choices.from_mapping({gap: choice}, revision, ring)
        assert choices.of(gap) == choice
        assert sum(choices.of(other) != gaps[other][0] for other in gaps) == (choice != gaps[gap][0])
    for revision in {"v6", "merged", "hardened"} - set(open_in(gap)):
        if choice != gaps[gap][0]:
            with pytest.raises(UsageError, match=f"{gap} is open in revision"):
                Choices.from_mapping({gap: choice}, revision, ring)


def test_what_hardened_leaves_open() -> None:
    """Hardened closes every gap but its own and what is the driver's, which the packed ring alone has."""
    assert [gap for ring in RINGS for gap in GAPS_OF[ring] if "hardened" in open_in(gap)] == ["event-kind", "settle"]
    assert Choices(ring="packed", revision="hardened", settle="wide").settle == "wide"
    assert Choices().settle == ""


@pytest.mark.parametrize(
    ("gaps", "revision", "words"),
    [
        ({"no-gap": "zero"}, "v6", "no gap 'no-gap'; there are: init-order, .*counter-start"),
        ({"counter-start": "two"}, "merged", "counter-start has no choice 'two'.*zero, one"),
        ({}, "v7", "no revision 'v7'.*v6, merged"),
        ({"counter-start": "one"}, "v6", "counter-start is open in revision merged only"),
        ({"resubmit-order": "any"}, "merged", "resubmit-order is open in revision v6 only"),
        ({"region-size": "larger"}, "hardened", "region-size is open in revision v6 and merged only, not in hardened"),
        ({"settle": "plain"}, "hardened", "gap settle is one of the packed ring, not of the split ring"),
        ({"coutner-start": "one"}, "merged", "no gap 'coutner-start'; perhaps: counter-start"),
        ({"reset": ""}, "v6", "reset has no choice ''.*renewed, kept"),
    ],
)
def test_what_does_not_exist_is_refused(gaps: dict[str, str], revision: str, words: str) -> None:
    """The error names the gap and what there is to choose."""
    with pytest.raises(UsageError, match=words):
        Choices.from_mapping(gaps, revision)


def test_of_an_unknown_gap() -> None:
    """To ask for the choice in no gap, or in one of the other ring, is an error too."""
    with pytest.raises(UsageError, match="no gap 'x'"):
        Choices().of("x")
    with pytest.raises(UsageError, match="no gap 'settle'"):
        Choices().of("settle")
    with pytest.raises(UsageError, match="the split ring has no gap settle"):
        Choices(settle="plain")


def test_an_unknown_ring() -> None:
    """There are two rings."""
    with pytest.raises(UsageError, match=r"no ring 'round'.*split, packed"):
        Choices(ring="round")
    with pytest.raises(UsageError, match=r"no ring 'round'.*split, packed"):
        Choices.from_mapping({}, ring="round")


def test_revisions_with_a_counter() -> None:
    """The counter came with merged and stays."""
    assert [revision for revision in ("v6", "merged", "hardened") if Choices(revision=revision).counted] == [
        "merged",
        "hardened",
    ]


def test_the_default_revision_is_one_of_the_ring() -> None:
    """Where none is named it is that of PROVED; what it closes is refused with a word about that."""
    assert [Choices(ring=ring).revision for ring in RINGS] == ["merged", "hardened"]
    assert [Choices.from_mapping({}, ring=ring).revision for ring in RINGS] == ["merged", "hardened"]
    with pytest.raises(UsageError, match="open in revision v6 and merged only, not in hardened, the default of this"):
        Choices.from_mapping({"flags-order": "in-order"}, ring="packed")


def test_choices_cannot_change() -> None:
    """Choices are fixed once made."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Choices().revision = "v6"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "culprit"),
    [
        (errors.FrontEndError, "the front-end"),
        (errors.BackEndError, "the back-end"),
        (errors.DriverError, "the driver"),
        (errors.RegionError, "the region"),
        (errors.UsageError, "the caller"),
    ],
)
def test_errors_name_the_culprit(kind: type[errors.InflightError], culprit: str) -> None:
    """An error's text begins with who broke the rule; all have one base."""
    assert str(kind("a rule")) == f"{culprit}: a rule"
    assert issubclass(kind, errors.InflightError)
    assert str(errors.InflightError("as it is")) == "as it is"


@pytest.mark.parametrize("ring", RINGS)
def test_storing_steps_are_steps(ring: str) -> None:
    """What stores is among what there is, and not all of it."""
    assert STORING_STEP_IDS_OF[ring] < STEP_IDS_OF[ring]
    assert BACKEND_STORES_OF[ring] < BACKEND_STEPS_OF[ring]
    named = BACKEND_STEPS_OF[ring] | DRIVER_STEPS_OF[ring] | CONNECTION_STORES | {"device.finish"}
    assert named == STEP_IDS_OF[ring]


def test_chain_calls_each() -> None:
    """A chain of hooks calls each with the same words."""
    seen: list[object] = []
    chain(silent, lambda *said: seen.append(said), lambda *said: seen.append(said))("split.fetch.1", 3)
    assert seen == [("split.fetch.1", 3), ("split.fetch.1", 3)]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("split.supply.4", "there is no step of a back-end 'split.supply.4'; perhaps: .*split.supply.5"),
        ("", "there is no step of a back-end ''"),
        (":1", "there is no step of a back-end ''"),
        ("driver.use", "there is no step of a back-end 'driver.use'"),
        ("split.supply.5:0", "'0' in 'split.supply.5:0' is no positive number"),
        ("split.supply.5:", "'' in 'split.supply.5:' is no positive number"),
        ("split.supply.5:x", "'x' in 'split.supply.5:x' is no positive number"),
        ("split.supply.5:" + "9" * 5000, "is no positive number"),
    ],
)
def test_crash_at_refuses(where: str, why: str) -> None:
    """A step that no back-end takes, and a number that is none, are refused."""
    with pytest.raises(UsageError, match=why):
        crash_at(where)


def _report(where: str, times: int) -> None:
    hook = crash_at(where)
    for _ in range(times):
        hook("split.supply.6", None)
        hook("split.supply.5", None)


@pytest.mark.parametrize(
    ("where", "times", "died"),
    [("split.supply.5", 1, True), ("split.supply.5:3", 2, False), ("split.supply.5:3", 3, True)],
)
def test_crash_at_kills(where: str, times: int, *, died: bool) -> None:
    """The process dies by SIGKILL at the Nth report of the step, not before."""
    process = multiprocessing.get_context("spawn").Process(target=_report, args=(where, times))
    process.start()
    process.join()
    assert process.exitcode == (-signal.SIGKILL if died else 0)
    process.close()


def test_crash_at_knows_both_rings() -> None:
    """Steps of the packed ring can be named too."""
    crash_at("packed.supply.9b:2")("packed.supply.9b", None)


def test_choices_of_each_ring() -> None:
    """A gap is chosen for one ring or, without its name, for each that has the choice; what names its ring wins."""

    def changed(*, packed: bool = True, **gaps: str) -> dict[str, dict[str, str]]:
        named = {name.replace("__", ".").replace("_", "-"): choice for name, choice in gaps.items()}
        return {ring: made.changed() for ring, made in of_each_ring(named, "merged", packed=packed).items()}

    smaller = {"region-size": "smaller"}
    assert changed(region_size="smaller") == {"packed": smaller, "split": smaller}
    assert changed(packed=False, region_size="smaller") == {"split": smaller}
    assert changed(split__region_size="smaller") == {"packed": {}, "split": smaller}
    assert changed(packed__region_size="smaller") == {"packed": smaller, "split": {}}
    assert changed(split__region_size="equal", region_size="smaller") == {"packed": smaller, "split": {}}
    assert changed(fetch_position="base") == {"packed": {"fetch-position": "base"}, "split": {}}
    for wrong, words in {
        "fetch_position": "has no choice",
        "split__colour": "there is no gap",
        "x__reset": "no ring",
    }.items():
        with pytest.raises(UsageError, match=words):
            changed(packed=True, **{wrong: "used-idx"})
    with pytest.raises(UsageError, match="'packed' is no ring that is served; split is"):
        changed(packed=False, packed__reset="kept")


def test_choices_that_were_made_before() -> None:
    """They are the same ones; what somebody does with what they say of themselves, changes nothing."""
    made = Choices.from_mapping({"settle": "wide"}, "hardened", "packed")
    assert made is Choices.from_mapping({"settle": "wide"}, "hardened", "packed")
    made.changed().clear()
    assert made.changed() == {"settle": "wide"}
    assert Choices.from_mapping({"settle": "plain"}, "hardened", "packed").changed() == {}
