"""Choices, hooks and errors: small things that everything else leans on."""

import dataclasses
import multiprocessing
import signal

import pytest

from refimpl import errors
from refimpl.choices import GAPS, ONLY_IN, Choices
from refimpl.errors import UsageError
from refimpl.hooks import STEP_IDS, STORING_STEP_IDS, chain, crash_at, silent

EVERY_CHOICE = [(gap, choice) for gap, choices in GAPS.items() for choice in choices]


def test_defaults_are_the_first_choices() -> None:
    """Without a word, each gap has the first choice of its row."""
    assert {gap: choices[0] for gap, choices in GAPS.items()} == Choices().to_mapping()


def test_each_gap_is_a_field() -> None:
    """There is a field for each gap, the revision, and nothing else."""
    fields = {field.name for field in dataclasses.fields(Choices)}
    assert fields == {"revision", *(gap.replace("-", "_") for gap in GAPS)}


@pytest.mark.parametrize(("gap", "choice"), EVERY_CHOICE)
def test_every_choice_can_be_made(gap: str, choice: str) -> None:
    """Each choice is accepted by its name, alone, where the revision leaves the gap open."""
    choices = Choices.from_mapping({gap: choice}, ONLY_IN.get(gap, "v6"))
    assert choices.of(gap) == choice
    assert sum(choices.to_mapping()[other] != GAPS[other][0] for other in GAPS) == (choice != GAPS[gap][0])


@pytest.mark.parametrize(
    ("gaps", "revision", "words"),
    [
        ({"no-gap": "zero"}, "v6", "no gap 'no-gap'.*counter-start"),
        ({"counter-start": "two"}, "merged", "counter-start has no choice 'two'.*zero, one"),
        ({}, "v7", "no revision 'v7'.*v6, merged"),
        ({"counter-start": "one"}, "v6", "counter-start is open in revision merged only"),
        ({"resubmit-order": "any"}, "merged", "resubmit-order is open in revision v6 only"),
    ],
)
def test_what_does_not_exist_is_refused(gaps: dict[str, str], revision: str, words: str) -> None:
    """The error names the gap and what there is to choose."""
    with pytest.raises(UsageError, match=words):
        Choices.from_mapping(gaps, revision)


def test_of_an_unknown_gap() -> None:
    """To ask for the choice in no gap is an error too."""
    with pytest.raises(UsageError, match="no gap 'x'"):
        Choices().of("x")


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


def test_storing_steps_are_steps() -> None:
    """What stores is among what there is, and not all of it."""
    assert STORING_STEP_IDS < STEP_IDS


def test_chain_calls_each() -> None:
    """A chain of hooks calls each with the same words."""
    seen: list[object] = []
    chain(silent, lambda *said: seen.append(said), lambda *said: seen.append(said))("split.fetch.1", 3)
    assert seen == [("split.fetch.1", 3), ("split.fetch.1", 3)]


@pytest.mark.parametrize(
    "where", ["split.supply.4", "", ":1", "split.supply.5:0", "split.supply.5:", "split.supply.5:x"]
)
def test_crash_at_refuses(where: str) -> None:
    """A step that there is none of, and a number that is none, are refused."""
    with pytest.raises(UsageError, match=r"no step .*split\.supply\.5|no positive number"):
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
