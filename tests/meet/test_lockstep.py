"""Lock-step: the same schedule on the interpreter and on the reference, every byte equal after every event."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from model import protocol
from model.protocol import Subject
from tests.meet.lockstep import Run, both_of
from tests.strategies import first_indexes, schedules, sizes, subjects


def campaigned(subject: Subject) -> Any:
    """Leave the choices of v6 to the campaigns: in `merged` they are open too, and few of its steps are others."""
    later = subject.revision == "v6" and subject.choices
    return pytest.param(subject, marks=pytest.mark.campaign) if later else subject


def name(subject: Subject) -> str:
    """Name a subject as a test's parameter."""
    return " ".join([subject.ring, subject.revision, *(f"{gap}={choice}" for gap, choice in subject.choices)])


# Drawing is what takes the time: few examples for each of many subjects, and a failure is shrunk.
FEW = settings(
    max_examples=7,  # campaigns draw more
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
MORE = settings(FEW, max_examples=25)
ALL = [subject for ring in protocol.RINGS for subject in subjects(ring)]


@MORE
@given(data=st.data())
@pytest.mark.parametrize("subject", [s for s in ALL if not s.choices], ids=name)
def test_lock_step(subject: Subject, data: st.DataObject) -> None:
    """Region, rings, positions and counters agree after each step, crash and recovery; so do both sides' judges."""
    agree(subject, data)


@FEW
@given(data=st.data())
@pytest.mark.parametrize("subject", [campaigned(s) for s in ALL if s.choices], ids=name)
def test_a_choice_in_lock_step(subject: Subject, data: st.DataObject) -> None:
    """Likewise with a choice that is not the default."""
    agree(subject, data)


@pytest.mark.campaign
@settings(FEW, max_examples=100)
@given(data=st.data())
@pytest.mark.parametrize("subject", ALL, ids=name)
def test_many_in_lock_step(subject: Subject, data: st.DataObject) -> None:
    """Likewise in more runs."""
    agree(subject, data)


def agree(subject: Subject, data: st.DataObject) -> None:
    """Draw a run, and play it on both sides."""
    size = data.draw(st.sampled_from(sizes(subject)), "size")
    first = data.draw(st.sampled_from(first_indexes(subject)), "first")
    quiet = data.draw(st.booleans(), "quiet")
    both = both_of(subject, size, first, quiet=quiet)
    events = both.before_it_goes_wrong(data.draw(schedules(both.machine)))
    note(f"{name(subject)}, size {size}, first {first}, quiet {quiet}: {events}")
    run = Run(both, events)
    run.play()
    assert run.compared == len(events)
    for number, model, reference in run.violations():
        assert model == reference, events[: number + 1]
        if model - {"order"}:
            break
