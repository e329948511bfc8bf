"""The interpreter and the reference side by side: the bytes that the model expects, and a run that compares them."""

import struct
from collections.abc import Callable, Iterator

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.layout import region as layout_of
from model.protocol import Subject
from vhost_inflight.judging.player import Player
from vhost_inflight.judging.schedule import Event, Schedule

UNREAD = ("off", "look")
"""Labels of fetch at which seen_avail is not yet read in this life, or not looked at before it is read again."""


class Both:
    """One subject at one size: the interpreter, and schedules for the reference."""

    def __init__(self, subject: Subject, size: int, first: int = 0, *, quiet: bool = False) -> None:
        """Compile the model."""
        self.subject, self.quiet = subject, quiet
        self.sizes: Sizes = protocol.sizes(subject, size, first)
        self.machine = Machine(protocol.table(subject, quiet=quiet), self.sizes, check=True)
        self.place = self.machine.place
        self._judges = list(self._judgements())
        self._layout = layout_of("split", subject.revision)

    def _judgements(self) -> Iterator[tuple[int, str, bool, Callable[..., bool]]]:
        """Give each judgement of one step: the step, the property, whether of the state before it, the predicate."""
        for number, recorded in enumerate(self.machine.steps):
            for judgement in protocol.judgements("split"):
                if judgement.tag in recorded.step.tags:
                    chosen = judgement.before and recorded.step.choice is not None
                    predicate = self.machine.predicate(judgement.predicate, with_choice=chosen)
                    yield number, judgement.property, judgement.before, predicate

    def schedule(self, events: list[tuple[str, int]]) -> Schedule:
        """Give the schedule of events of the interpreter (-1: no choice)."""
        return Schedule(
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
        ring = self._ring(state)
        return ring + bytes(-len(ring) % 64) + self._region(state)

    def _ring(self, s: StateTuple) -> bytes:
        p, size = self.place, self.sizes.size
        table = b"".join(struct.pack("=QIHH", number, 0, 0, 0) for number in s[p["table"]][:size])
        avail = struct.pack(f"={3 + size}H", 0, s[p["avail.idx"]], *s[p["avail.ring"]], s[p["avail.used_event"]])
        elements = [n for pair in zip(s[p["used.ring[].id"]], s[p["used.ring[].len"]], strict=True) for n in pair]
        used = struct.pack(f"=HH{2 * size}IH", 0, s[p["used.idx"]], *elements, s[p["used.avail_event"]])
        return table + avail + bytes(-len(table + avail) % 4) + used

    def _region(self, s: StateTuple) -> bytes:
        p, made = self.place, bytearray(self._layout.size(self.sizes.entries))
        header = ("version", "desc_num", "last_batch_head", "used_idx")
        struct.pack_into("=QHHHH", made, 0, 0, *(s[p[f"region.{name}"]] for name in header))
        for number in range(self.sizes.entries):
            for name in ("inflight", "next", "counter"):
                if name == "counter" and self.subject.revision == "v6":
                    continue
                place = self._layout.entry.field(name)
                form = {1: "=B", 2: "=H", 8: "=Q"}[place.width]
                offset = self._layout.offset(number) + place.offset
                struct.pack_into(form, made, offset, s[p[f"region.desc[].{name}"]][number])
        return bytes(made)

    def volatile(self, s: StateTuple) -> dict[str, int]:
        """Give what the back-end process knows, where it lives and has read it, and the eventfds."""
        p = self.place
        found = {"kick": s[p["kick"]], "call": s[p["call"]]} if not self.quiet else {}
        if s[p["recover.at"]] == "dead":
            return found
        found |= {"last_avail": s[p["fetch.last_avail"]], "counter": s[p["counter"]]}
        if s[p["fetch.at"]] not in UNREAD:
            found["seen_avail"] = s[p["fetch.seen_avail"]]
        return found

    def violated(self, before: StateTuple, step: str, choice: int, after: StateTuple) -> set[str]:
        """Name the properties that the model sees violated by one event."""
        number = self.machine.index[step]
        return {
            name
            for at, name, is_before, predicate in self._judges
            if at == number and not (predicate(before, choice) if is_before else predicate(after))
        }


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
        actual = {"kick": int(player.kicked), "call": int(player.called)}
        if player.queue is not None:
            queue = player.queue
            actual |= {"last_avail": queue.last_avail, "counter": queue.counter.value, "seen_avail": queue.seen_avail}
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
