"""Hypothesis strategies that several tests share: subjects of the model, and schedules that the interpreter allows."""

from hypothesis import strategies as st

from model import protocol
from model.interpret import Machine
from model.protocol import Subject

LENGTHS = {"split": (30, 100, 250), "packed": (60, 200, 400)}
"""By ring, events of a drawn schedule; a list whose length Hypothesis draws would rarely leave the first recovery."""


def subjects(ring: str = "split") -> list[Subject]:
    """Give each revision of a ring with its defaults, and with each single deviation from them."""
    found = []
    for revision in protocol.revisions(ring):
        found.append(Subject.of(ring, revision, {}))
        for gap in protocol.gaps(ring).values():
            if gap.open_in(revision):
                found += [Subject.of(ring, revision, {gap.name: a.name}) for a in gap.alternatives[1:]]
    return found


def has_long_loops(subject: Subject) -> bool:
    """Whether recovery walks as many entries as the ring's first index says, which is why that has to be small."""
    if subject.ring == "packed":
        return False
    return subject.choice("fresh-used-idx") != "from-ring" or subject.choice("init-order") == "version-first"


def first_indexes(subject: Subject) -> list[int]:
    """Give where a ring begins in a test: at 0, and before the wrap of 16 bits, or (packed) having been in use."""
    if subject.ring == "packed":
        return [0, 3]
    return [0, 1] if has_long_loops(subject) else [0, 65534]


def sizes(subject: Subject) -> list[int]:
    """Give the queue sizes of a test; a region smaller than a ring of one entry would have none."""
    known = (1, 2, 3, 4) if subject.ring == "packed" else (1, 2, 4, 8)
    return [size for size in known if size > 1 or subject.choice("region-size") != "smaller"]


RARE = frozenset({"crash", "driver.reset", "connection.reset", "stop.ask", "stop.other", "ring.reset"})
"""Events that would leave nothing in flight if they came as often as others."""


@st.composite
def schedules(draw: st.DrawFn, machine: Machine, *, skip: frozenset[str] = frozenset()) -> list[tuple[str, int]]:
    """Draw events of the interpreter, each possible after those before it; crashes, stops and resets are rarer.

    Where rings are stopped they are rarer still: an answer that finds nothing in flight shows little.
    """
    state, events = machine.initial(), []
    weight = 12 if "stop.ask" in machine.index else 3
    length = draw(st.sampled_from(LENGTHS[machine.table.ring]))
    for chosen in draw(st.lists(st.integers(0, 1 << 16), min_size=length, max_size=length)):
        enabled = [event for event in machine.enabled(state) if event[0] not in skip]
        common = [event for event in enabled if event[0] not in RARE]
        possible = common * weight + enabled if common else enabled
        if not possible:
            break
        step, choice, state = possible[chosen % len(possible)]
        events.append((step, choice))
    return events
