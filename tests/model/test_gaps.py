"""Every revision under every alternative of every gap: it can be built, run, and every step of it is reached."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from model import protocol
from model.gaps import Alternative, Gap, apply, check
from model.interpret import Machine
from model.protocol import Subject
from model.terms import ModelError
from tests.model.runs import SUBJECTS, name_of, random_run

LONG_WALKS = {("init-order", "version-first"), ("fresh-used-idx", "zero")}
"""With these a fresh split region's used_idx is 0, and recovery walks a list as long as the ring's first index."""

RESUBMIT = ("packed.reconnect.4", "packed.reconnect.4.desc", "packed.reconnect.4.submit")
NEEDS_A_REQUEST = (
    "packed.supply.", "packed.notify.", "packed.reconnect.1a", "packed.reconnect.1c", "device.finish",
    "driver.use", "driver.sleep.again", "driver.kick.none", *RESUBMIT,
)  # fmt: skip
"""Steps, by how their ids begin, that are taken only after something was fetched."""


IN_USE = {"packed.init.6", "packed.init.7"}
"""Steps that are taken on a ring that has been in use alone."""


def never(subject: Subject, steps: Iterable[str]) -> set[str]:
    """Give the steps that no run takes, because of what the choice breaks.

    With a zeroed free list every descriptor goes to entry 0, which stays on the list: recovery clears its mark. With
    wrap counters that begin with 0 the back-end waits for flags that the driver never writes.
    """
    if ("free-list", "zeroed") in subject.choices:
        return set(RESUBMIT)
    if ("first-wrap", "zero") in subject.choices:
        fetches = {s for s in steps if s.startswith("packed.fetch.")} - {"packed.fetch.look"}
        return fetches | {s for s in steps if s.startswith(NEEDS_A_REQUEST)}
    return set()


@pytest.mark.parametrize("subject", SUBJECTS, ids=name_of)
@pytest.mark.campaign
def test_random_runs_fit_their_fields_and_reach_every_step(subject: Subject) -> None:
    """Nothing overflows a field or leaves an array in thousands of events, and each step is among them."""
    first = 1 if LONG_WALKS & set(subject.choices) else 65530
    if subject.ring == "packed":
        first = 0 if subject.choices else 1  # a ring in use
    size = 3 if ("region-size", "smaller") in subject.choices else 2
    machine = Machine(protocol.table(subject), protocol.sizes(subject, size, first), check=True)
    expected = set(machine.index) - never(subject, machine.index) - (set() if first else IN_USE)
    reached: set[str] = set()
    for seed in range(150):
        if seed >= 1 and reached == expected:
            break
        rarely = (0.03, 0.003, 0.0003)[seed % 3]
        reached |= {step_id for step_id, _, _ in random_run(machine, seed, 2000, rarely=rarely)}
    assert expected == reached


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if s.choices], ids=name_of)
def test_every_alternative_changes_the_table(subject: Subject) -> None:
    """An alternative that edits nothing would be judged as the default is; `region-size` edits the sizes instead."""
    usual = Subject(subject.ring, subject.revision)
    changed = protocol.table(subject) != protocol.table(usual)
    resized = protocol.sizes(subject, 4) != protocol.sizes(usual, 4)
    assert changed or resized


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_gap_says_what_it_is_about(ring: str) -> None:
    """A gap has a question, a reason, and at least two alternatives, each with a meaning."""
    for gap in protocol.gaps(ring).values():
        assert gap.question.endswith("?")
        assert gap.reason
        assert len({a.name for a in gap.alternatives}) >= 2
        assert all(a.meaning for a in gap.alternatives)


def written(ring: str, text: str) -> dict[str, list[str]]:
    """Read the gaps of a ring from a page: the rows of its table, each of one gap, or of several with the choices."""
    section = re.split(r"\n##+ ", text.split(f"### Gaps of the {ring} ring")[1])[0]
    found: dict[str, list[str]] = {}
    for names, choices in re.findall(r"^\| (`[^|]*`) \| (.*) \|$", section, re.MULTILINE):
        for name in re.findall(r"`([\w-]+)`", names):
            # what stands in parentheses explains a choice
            found[name] = re.findall(r"`([\w-]+)`", re.sub(r"\([^)]*\)", "", choices))
    return found


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_gaps_are_those_of_the_architecture_page(ring: str) -> None:
    """The names of the gaps and their choices, the default first, are a contract with the reference."""
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = written(ring, text)
    like_split = {name for name, choices in told.items() if not choices}
    told |= {name: written("split", text)[name] for name in like_split}
    if ring == "packed":
        assert like_split == {"counter-start", "counter-after-reconnect", "counter-scope"}
        assert "(gap `settle`, open in `hardened` alone: `plain`, `wide`)" in " ".join(text.split())
        told["settle"] = ["plain", "wide"]
    assert told == {gap.name: [a.name for a in gap.alternatives] for gap in protocol.gaps(ring).values()}


GAPS = {"colour": Gap("colour", "which?", (Alternative("red", "r"), Alternative("blue", "b")), "none", ("merged",))}


def test_an_unknown_gap_is_refused() -> None:
    """The error names the gaps that there are."""
    with pytest.raises(ModelError, match="there is no gap 'color'; there are: colour"):
        check(GAPS, "merged", {"color": "red"})


def test_an_unknown_choice_is_refused() -> None:
    """The error names the choices that there are."""
    with pytest.raises(ModelError, match="gap colour has no choice 'green'; it has: red, blue"):
        check(GAPS, "merged", {"colour": "green"})


def test_a_gap_that_a_revision_closes_is_refused() -> None:
    """Only its default may be named then."""
    check(GAPS, "v6", {"colour": "red"})
    with pytest.raises(ModelError, match="revision v6 does not leave colour open"):
        check(GAPS, "v6", {"colour": "blue"})


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_defaults_leave_the_table_as_it_is(ring: str) -> None:
    """Applying no choice is applying every default, and a default is what the table says already."""
    table = protocol.table(Subject(ring, "v6"))
    gaps = protocol.gaps(ring)
    open_in_v6 = {name: gap for name, gap in gaps.items() if gap.open_in("v6")}
    assert table == apply(table, open_in_v6, {})
    assert table == apply(table, open_in_v6, {name: gap.default for name, gap in open_in_v6.items()})


@pytest.mark.parametrize(
    ("ring", "revision", "choices", "message"),
    [
        ("round", "v6", {}, "there is no ring 'round'; there are: split, packed$"),
        ("split", "v7", {}, "there is no revision 'v7'; there are: v6, merged, hardened$"),
        ("packed", "v6", {"settle": "wide"}, "revision v6 does not leave settle open"),
        ("packed", "hardened", {"resubmit-order": "any"}, "revision hardened does not leave resubmit-order open"),
        ("split", "hardened", {"counter-start": "one"}, "revision hardened does not leave counter-start open"),
        ("packed", "v6", {"free-list": "none"}, "gap free-list has no choice 'none'"),
        ("split", "v6", {"free-list": "zeroed"}, "there is no gap 'free-list'"),
        ("split", "v6", {"counter-start": "one"}, "revision v6 does not leave counter-start open"),
        ("split", "merged", {"reset": "often"}, "gap reset has no choice 'often'"),
    ],
)
def test_a_subject_must_exist(ring: str, revision: str, choices: dict[str, str], message: str) -> None:
    """A subject is checked when it is made."""
    with pytest.raises(ModelError, match=message):
        Subject.of(ring, revision, choices)


def test_a_subject_leaves_defaults_out() -> None:
    """Two ways to say the same are the same subject."""
    assert Subject("split", "v6") == Subject.of("split", "v6", {"reset": "renewed"})
    assert Subject.of("split", "v6", {"reset": "kept"}).choice("reset") == "kept"
    assert Subject.of("split", "v6", {"reset": "kept"}).choice("batch-size") == "mod-65536"
