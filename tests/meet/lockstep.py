"""The interpreter and the reference side by side: the bytes that the model expects, and a run that compares them."""

import sys
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.layout import region as layout_of
from model.protocol import Subject
from vhost_inflight.judging.play.player import Player
from vhost_inflight.judging.play.schedule import Event, Schedule
from vhost_inflight.judging.play.world import Work
from vhost_inflight.vectors.images import RAW, Images

UNREAD = ("off", "look")
"""Labels of fetch on a split ring at which READ is not yet read in this life, or not looked at before the next time."""

LOOKED = ("take", "armed", "rest")
"""Labels of fetch on a packed ring at which READ was read and is looked at again."""

VOLATILE = {
    "split": {"last_avail": "fetch.last_avail", "counter": "counter", "seen_avail": "fetch.seen_avail"},
    "packed": {
        "avail_idx": "fetch.avail_idx",
        "avail_wrap": "fetch.avail_wrap",
        "counter": "counter",
        "seen": "fetch.available",
    },
}
"""By ring, what the back-end process knows: the reference's name, and the model's."""

READ = {"split": "seen_avail", "packed": "seen"}
"""By ring, what it has read of what the driver makes available."""

WORK = {None: 0, Work.WORKING: 1, Work.FINISHED: 2, Work.IN_BATCH: 3}
"""What the device does with a head, or an entry, as the model numbers it."""

FOUND = ("resubmit", "gather", "signalled", "running")
"""Labels of recover at which a packed ring's position has been found in this life."""


def memory_of(revision: str) -> str:
    """Give the revision whose region a revision has: hardened changes steps, not the memory."""
    return "merged" if revision == "hardened" else revision


def _split_ring(descriptors: bytes, available: bytes, used: bytes) -> bytes:
    """Give the parts as one piece of memory, the used ring aligned as virtio wants it."""
    return descriptors + available + bytes(-len(descriptors + available) % 4) + used


class Both:
    """One subject at one size: the interpreter, and schedules for the reference."""

    def __init__(self, subject: Subject, size: int, first: int = 0, *, quiet: bool = False) -> None:
        """Compile the model."""
        self.subject, self.quiet = subject, quiet
        self.sizes: Sizes = protocol.sizes(subject, size, first)
        self.machine = Machine(protocol.table(subject, quiet=quiet), self.sizes, check=True)
        self.place = self.machine.place
        self._judges = list(self._judgements())
        self._images = Images(self.machine, layout_of(subject.ring, memory_of(subject.revision)), RAW, sys.byteorder)

    def _judgements(self) -> Iterator[tuple[int, str, bool, Callable[..., bool]]]:
        """Give each judgement of one step: the step, the property, whether of the state before it, the predicate."""
        compiled = cache(lambda predicate, chosen: self.machine.predicate(predicate, with_choice=chosen))
        for number, recorded in enumerate(self.machine.steps):
            for judgement in protocol.judgements(self.subject.ring):
                if judgement.tag in recorded.step.tags:
                    chosen = judgement.before and recorded.step.choice is not None
                    yield number, judgement.property, judgement.before, compiled(judgement.predicate, chosen)

    def schedule(self, events: list[tuple[str, int]]) -> Schedule:
        """Give the schedule of events of the interpreter (-1: no choice)."""
        return Schedule(
            ring=self.subject.ring,
            revision=self.subject.revision,
            gaps=dict(self.subject.choices),
            mutant=None,
            property=None,
            witness=None,
            size=self.sizes.size,
            entries=self.sizes.entries,
            first=self.sizes.first,
            notifications=not self.quiet,
            events=tuple(Event(step, None if choice < 0 else choice) for step, choice in events),
        )

    def image(self, state: StateTuple) -> bytes:
        """Give every byte of the ring and the region, as the model has them, laid out as the text and virtio say."""
        parts = self._images.parts(state)
        region = parts.pop("region")
        ring = b"".join(parts.values()) if self.subject.ring == "packed" else _split_ring(**parts)
        return ring + bytes(-len(ring) % 64) + region

    def volatile(self, s: StateTuple) -> dict[str, int]:
        """Give what the back-end process knows, where it lives and has read it, the eventfds, and the base kept."""
        p = self.place
        found = {"kick": s[p["kick"]], "call": s[p["call"]]} if not self.quiet else {}
        if "base.idx" in p:  # what a front-end keeps of an answer: on a packed ring the next used slot
            found["base"] = s[p["base.idx"]] | s[p["base.wrap"]] << 15
        if s[p["recover.at"]] == "dead":
            return found
        known = {ours: s[p[theirs]] for ours, theirs in VOLATILE[self.subject.ring].items()}
        if not self._has_read(s[p["fetch.at"]]):
            known.pop(READ[self.subject.ring])
        if self.subject.ring == "packed" and s[p["recover.at"]] not in FOUND:
            known.pop("avail_idx")
            known.pop("avail_wrap")
        return found | known

    def _has_read(self, label: str) -> bool:
        """Whether READ is looked at again before it is read again."""
        return label in LOOKED if self.subject.ring == "packed" else label not in UNREAD

    def violated(self, before: StateTuple, step: str, choice: int, after: StateTuple) -> set[str]:
        """Name the properties that the model sees violated by one event."""
        number = self.machine.index[step]
        return {
            name
            for at, name, is_before, predicate in self._judges
            if at == number and not (predicate(before, choice) if is_before else predicate(after))
        }

    def before_it_goes_wrong(self, events: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Give the events up to the first violation on a packed ring; of a split one, all.

        A packed back-end that has let the driver write to slots that it still reads may read them once or twice.
        """
        if self.subject.ring == "split":
            return events
        state = self.machine.initial()
        for number, (step, choice) in enumerate(events, start=1):
            after = self.machine.take(state, step, choice)
            if self.violated(state, step, choice, after):
                return events[:number]
            state = after
        return events


@lru_cache(maxsize=64)
def both_of(subject: Subject, size: int, first: int, *, quiet: bool) -> Both:
    """Give what was compiled before, or compile it: nothing of a run stays in it."""
    return Both(subject, size, first, quiet=quiet)


class Run:
    """A run of both over the same events; `play` compares after each, and keeps what either judge says."""

    def __init__(
        self, both: Both, events: list[tuple[str, int]], *, states: list[StateTuple] | None = None, start: int = 0
    ) -> None:
        """Let the interpreter take the events (unless `states` has done it); compare from the event at `start` on."""
        self.both, self.events, self.start = both, events, start
        self.states = self._taken() if states is None else states
        self.player = Player(both.schedule(events), after=self._compare)
        self.compared = 0

    def _taken(self) -> list[StateTuple]:
        states = [self.both.machine.initial()]
        for step, choice in self.events:
            states.append(self.both.machine.take(states[-1], step, choice))
        return states

    def play(self) -> None:
        """Play on the reference."""
        assert self.player.memory.image == self.both.image(self.states[0])
        self.player.play()
        assert self.player.place == len(self.events)

    def _compare(self, place: int) -> None:
        if place < self.start:
            return
        self.compared += 1
        state, player = self.states[place + 1], self.player
        assert self.both.image(state) == player.memory.image, self._where(place)
        actual = {"kick": int(player.kicked), "call": int(player.called), "base": (player.memory.base or 0) >> 16}
        if player.queue is not None:
            queue = player.queue
            actual["counter"] = queue.counter.value
            actual |= {
                name: int(getattr(queue, name)) for name in VOLATILE[self.both.subject.ring] if name != "counter"
            }
        device = state[self.both.place["device.state"]]
        assert list(device) == [WORK[player.device.work.get(head)] for head in range(len(device))], self._where(place)
        expected = self.both.volatile(state)
        assert expected == {name: actual[name] for name in expected}, self._where(place)

    def _where(self, place: int) -> str:
        lines = [f"{number}: {step} {choice}" for number, (step, choice) in enumerate(self.events[: place + 1])]
        return "\n".join([*lines[-30:], str(self.player.memory.fields())])

    def violations(self) -> Iterator[tuple[int, set[str], set[str]]]:
        """Give for each event from `start` on what the model and what the reference's judge say is violated by it."""
        for number in range(self.start, len(self.events)):
            step, choice = self.events[number]
            model = self.both.violated(self.states[number], step, choice, self.states[number + 1])
            ours = {v.property for v in self.player.judge.violations if v.event == number + 1}
            yield number, model, ours
