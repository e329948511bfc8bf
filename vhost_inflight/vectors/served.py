"""The model as a back-end: bytes in, an answer out, by a table of steps and nothing else.

The same code gives the answers that vectors expect (with the text's table) and those of a mistaken back-end (with a
changed one). Where a table leaves a choice, a back-end takes what the text forbids as soon as its own table allows it:
a weakened guard is no mistake as long as nobody makes use of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from model import protocol
from model.both.words import FINISHED, RUNNING, WORKING
from model.interpret import Machine, Sizes, StateTuple, Successor
from model.protocol import Subject
from model.steps import Edit, Table
from vhost_inflight.vectors.form import Answer, Given, Lived, Meanwhile, Op, Recovered, Store, Vector
from vhost_inflight.vectors.images import RAW, Images, Style
from vhost_inflight.vectors.machines import Event, Made, chain_of, layout_of, leaving, sizes_of, style_of, value_of
from vhost_inflight.vectors.masks import region_mask, ring_mask
from vhost_inflight.vectors.orders import before_pairs, needed

__all__ = ["BackEnd", "Process", "WedgedError"]

_LIMIT = 4000


class WedgedError(Exception):
    """A back-end does not come to an end, or reaches for what is not there. Only a mistaken one does."""


_AGAIN: Final = {"split": "split.reconnect.2", "packed": "packed.reconnect.4"}
"""The step that begins to give a request to the device again."""


class BackEnd:
    """A back-end that follows a table: that of a subject, with edits (none: the text's own)."""

    def __init__(self, subject: Subject, edits: Sequence[Edit] = (), table: Table | None = None) -> None:
        """Build the table."""
        self.subject = subject
        self.text = protocol.table(subject)
        self.table = table or (self.text.edited(edits) if edits else self.text)
        self._made: dict[tuple[Sizes, Style], Made] = {}

    def made(self, sizes: Sizes, style: Style = RAW) -> Made:
        """Give the machine of some sizes, compiled once."""
        if (sizes, style) not in self._made:
            machine = next((m.machine for (s, _), m in self._made.items() if s == sizes), None)
            machine = machine or Machine(self.table, sizes)
            images = Images(machine, layout_of(self.subject.ring, self.subject.revision), style)
            self._made[sizes, style] = Made(machine, images, machine.initial())
        return self._made[sizes, style]

    def answer(self, vector: Vector) -> Answer:
        """Give what this back-end makes of a vector. Raises WedgedError."""
        process = Process(self, vector.given)
        try:
            if vector.kind == "trace":
                return process.live(vector.ops)
            return process.recovered()
        except (IndexError, ValueError, OverflowError) as reached:
            raise WedgedError(str(reached)) from reached


class Process:
    """A back-end over the bytes of a vector."""

    def __init__(self, back_end: BackEnd, given: Given) -> None:
        """Lay the bytes."""
        self.back_end, self.given, sizes = back_end, given, sizes_of(given)
        style = style_of(given)
        made = back_end.made(sizes, style)
        self.machine, self.images = made.machine, made.images
        self.place = self.machine.place
        self.fresh = made.fresh
        self._text = _text_machine(back_end.subject, sizes) if back_end.table is not back_end.text else None
        self.memory = {name: bytearray(data) for name, data in {"region": given.region, **given.ring_memory}.items()}
        self.state = self.images.read(self.fresh, self.memory)
        self.events: list[Event] = []
        self.taken: list[tuple[str, ...]] = []  # by op of a life, the steps that made its stores
        self._due: list[Meanwhile] = []
        self._end = _LIMIT + 40 * (sizes.size + sizes.entries)

    # States

    def recovered(self) -> Recovered:
        """Recover, and say what came of it."""
        self._start()
        ring, given, region = self.given.ring, self.given, self.images.region

        def get(name: str) -> Any:
            return self.state[self.place[name]]

        again = [e.chosen for e in self.events if e.step == _AGAIN[ring]]
        if ring == "split":
            resubmit: tuple[Any, ...] = tuple(again)
            next_avail, used = get("fetch.last_avail"), get("used.idx")
        else:
            last, ids = get("region.desc[].last"), get("region.desc[].id")
            resubmit = tuple((e, ids[last[e]]) for e in again)
            next_avail = (get("fetch.avail_idx"), get("fetch.avail_wrap"))
            used = (get("region.used_idx"), get("region.used_wrap_counter"))
        unmarked = [e for e in self.events if e.step.endswith(".unmark") and e.stores]
        mask = region_mask(self.machine, region, self.state)
        after = {name: bytes(self.memory[name]) for name in given.ring_memory}
        return Recovered(
            resubmit, next_avail, used, None if given.revision == "v6" else get("counter"),
            bytes(self.memory["region"]), (mask + bytes(max(0, len(given.region) - len(mask))))[: len(given.region)],
            after, ring_mask(ring, after, [s for e in unmarked for s in e.stores]), self._chains(),
        )  # fmt: skip

    def _chains(self) -> tuple[tuple[int, ...], ...]:
        """Give the descriptors of each request that was resubmitted: on a packed ring, the copies that were taken."""
        if self.given.ring == "split":
            return tuple(
                chain_of(self.memory["descriptors"], e.chosen) for e in self.events if e.step == _AGAIN["split"]
            )
        found: list[list[int]] = []
        for event in self.events:
            if event.step == _AGAIN["packed"]:
                found.append([])
            elif event.step == "packed.reconnect.4.desc":
                assert event.value is not None, event.step
                found[-1].append(event.value)
        return tuple(map(tuple, found))

    def _start(self) -> None:
        """Begin as a new process, which knows nothing, and recover."""
        volatile = {self.place[n] for n, v in self.machine.vars.items() if v.kind == "volatile"}
        self.state = tuple(self.fresh[n] if n in volatile else v for n, v in enumerate(self.state))
        self._run(("recover",), lambda: self._at("recover") == RUNNING)

    def _at(self, procedure: str) -> str:
        return str(self.state[self.place[f"{procedure}.at"]])

    # Lives

    def live(self, ops: Sequence[Op]) -> tuple[Lived, ...]:
        """Take part in a life; give what came of each op of the back-end."""
        lived = []
        for number, op in enumerate(ops):
            if op.op == "driver":
                self._driver(op.stores)
                continue
            self.events, self._due = [], list(op.meanwhile)
            before = {name: bytes(data) for name, data in self.memory.items()}
            fetched = None
            if op.op == "start":
                self._start()
            elif op.op == "fetch":
                fetched = self._fetch(ops[number + 1] if number + 1 < len(ops) else None)
            else:
                self._supply(op.batch)
            net = self._net(before)
            self.taken.append(tuple(step for step, _ in net))
            pairs = before_pairs(self.taken[-1], needed(self.given.ring))
            lived.append(Lived(fetched, tuple(store for _, store in net), pairs))
        return tuple(lived)

    def _driver(self, stores: Sequence[Store]) -> None:
        """Let the driver store."""
        self._store(stores)
        self.state = self.images.read(self.state, self.memory)

    def _store(self, stores: Iterable[Store]) -> None:
        for store in stores:
            if store.part != "call":
                self.memory[store.part][store.offset : store.offset + len(store.data)] = store.data

    def _fetch(self, following: Op | None) -> int | None:
        if following is not None and following.op == "supply":
            self._finish(following)
        if self._at("fetch") == "rest":
            self._set("kick", 1)
        begun = len(self.events)

        def over() -> bool:
            taken = self.events[begun:]
            if taken and taken[-1].step.endswith("fetch.submit"):
                return True
            return bool(taken) and self._at("fetch") == "rest" and not self._waiting()

        self._run(("fetch",), over)
        last = self.events[-1]
        return last.value if last.step.endswith("fetch.submit") else None

    def _waiting(self) -> bool:
        """Whether fetch knows of a request."""
        if self.given.ring == "packed":
            return bool(self.state[self.place["fetch.available"]])
        return bool(self.state[self.place["fetch.seen_avail"]] != self.state[self.place["fetch.last_avail"]])

    def _finish(self, op: Op) -> None:
        for request, length in op.batch:
            if request < self.machine.sizes.heads and self.state[self.place["device.state"]][request] == WORKING:
                self._set("device.state", FINISHED, request)
                self._set("device.given", self._given(length), request)

    def _given(self, length: int) -> int:
        """Give what the device has to have got for its len to be this."""
        return self.images.style.number_of_length(length) if self.given.ring == "packed" else length

    def _supply(self, batch: Sequence[tuple[int, int]]) -> None:
        for request, length in batch:
            self._set("device.state", FINISHED, request)
            self._set("device.given", self._given(length), request)
        left = [request for request, _ in batch]

        def wanted(found: Successor) -> bool:
            step, chosen = self.machine.steps[found[0]].step, found[1]
            if step.choice is None:
                return not (left and (self._at("supply") == "more" or step.id.endswith(".early")))
            return bool(left) and chosen == left[0]

        def note() -> None:
            last = self.events[-1]
            if left and self.machine.steps[self.machine.index[last.step]].step.choice and last.chosen == left[0]:
                left.pop(0)

        begun = len(self.events)
        self._run(
            ("supply",), lambda: len(self.events) > begun and not left and self._at("supply") == "idle", wanted, note
        )

    def _set(self, name: str, value: int, index: int | None = None) -> None:
        state, place = list(self.state), self.place[name]
        if index is None:
            state[place] = value
        else:
            held = list(state[place])
            held[index] = value
            state[place] = tuple(held)
        self.state = tuple(state)

    def _net(self, before: Mapping[str, bytes]) -> list[tuple[str, Store]]:
        """Give the last change of each place that is other than it was, in order, each with its step."""
        last: dict[tuple[str, int], int] = {}
        stores = [(e.step, s) for e in self.events for s in e.stores]
        held: dict[tuple[str, int], bytes] = {}
        for number, (_, store) in enumerate(stores):
            place = store.part, store.offset
            if store.part == "call" or store.data != held.get(place, _span(before, store)):
                last[place], held[place] = number, store.data
        return [
            (step, store)
            for number, (step, store) in enumerate(stores)
            if last.get((store.part, store.offset)) == number
            and (store.part == "call" or _span(before, store) != _span(self.memory, store))
        ]

    # Steps

    def _run(
        self,
        procedures: Sequence[str],
        over: Callable[[], bool],
        wanted: Callable[[Successor], bool] = lambda _: True,
        note: Callable[[], None] = lambda: None,
    ) -> None:
        """Take steps of these procedures until it is over."""
        while not over():
            found = [f for f in self._enabled(procedures) if wanted(f)]
            taken = self._forbidden() or next(filter(self._added, found), next(iter(found), None))
            if taken is None or len(self.events) > self._end:
                raise WedgedError("nothing can be done" if taken is None else "it goes on and on")
            self._take(taken)
            note()

    def _enabled(self, procedures: Sequence[str]) -> list[Successor]:
        """Give what some procedures can do next; only steps that leave their labels are looked at."""
        return [f for p in procedures for f in leaving(self.machine, p, self._at(p))(self.state)]

    def _added(self, found: Successor) -> bool:
        """Whether a step is one that the text does not have: it is taken where there is a choice."""
        return self._text is not None and self.machine.steps[found[0]].step.id not in self._text[0].index

    def _forbidden(self) -> Successor | None:
        """Give what this table allows here and the text does not, of the steps that the text has."""
        if self._text is None:
            return None
        machine, own = self._text
        allowed = {(machine.steps[n].step.id, c) for n, c, _ in own(self.state)}
        for successor in _steps_of_back_end(self.machine)(self.state):
            step = self.machine.steps[successor[0]].step.id
            if step in machine.index and (step, successor[1]) not in allowed and self._same_labels(step, machine):
                return successor
        return None

    def _same_labels(self, step: str, machine: Machine) -> bool:
        """Whether a step leaves the labels that it leaves in the text: of one that was moved this says nothing."""
        return self.machine.steps[self.machine.index[step]].step.at == machine.steps[machine.index[step]].step.at

    def _take(self, taken: Successor) -> None:
        number, chosen, after = taken
        stores = self.images.stores(number, chosen, self.state, after)
        due = [m for m in self._due if any((s.part, s.offset) == m.before for s in stores)]
        if due:
            self._due = [m for m in self._due if m not in due]
            self._driver([s for m in due for s in m.stores])
            found = next((f for f in _steps_of_back_end(self.machine)(self.state) if f[:2] == (number, chosen)), None)
            if found is None:
                return
            after = found[2]
            stores = self.images.stores(number, chosen, self.state, after)
        step = self.machine.steps[number].step.id
        self.events.append(Event(step, chosen, tuple(stores), value_of(self.machine, step, chosen, self.state)))
        self._store(stores)
        self.state = after


def _span(parts: Mapping[str, bytes | bytearray], store: Store) -> bytes:
    return bytes(parts[store.part][store.offset : store.offset + len(store.data)])


BACK_END: Final = ("recover", "fetch", "supply")


@lru_cache(maxsize=4096)
def _steps_of_back_end(machine: Machine) -> Callable[[StateTuple], list[Successor]]:
    return machine.only(lambda r: r.step.procedure in BACK_END)


@cache
def _text_machine(subject: Subject, sizes: Sizes) -> tuple[Machine, Callable[[StateTuple], list[Successor]]]:
    machine = Machine(protocol.table(subject), sizes)
    return machine, _steps_of_back_end(machine)
