"""The adapter of the reference: ``python -m vhost_inflight.vectors.adapters.reference [GAP=CHOICE ...]``.

JSON lines in and out. A choice is made wherever a revision leaves it open, and said in ``ready``.

A reader who writes an adapter may begin here: `main` is the whole contract, `_Life` puts a back-end on the bytes of a
case and tells its stores. Nothing here knows the model, nor what a vector expects.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from refimpl.choices import GAPS_OF, open_in, parse_gaps
from refimpl.errors import InflightError, UsageError
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import used_place
from refimpl.split.queue import SplitQueue
from vhost_inflight.recover.answer import culprit
from vhost_inflight.recover.chains import PiecesOfMemory, packed_chain, split_chain
from vhost_inflight.recover.given import parse
from vhost_inflight.recover.memory import LaidMemory
from vhost_inflight.recover.vector import STATE

__all__ = ["answer", "main"]

_READY: Final[Mapping[str, Any]] = {
    "version": 1,
    "name": "the reference of vhost-inflight",
    "rings": ["split", "packed"],
    "kinds": ["state", "trace", "seen"],
    "revisions": ["v6", "merged", "hardened"],
}

_CHOICES: Final[list[str]] = []
"""Those of the command line."""


def main() -> int:
    """Answer messages until there is a stop."""
    _CHOICES.extend(sys.argv[1:])
    for line in sys.stdin:
        message = json.loads(line)
        if message["op"] == "stop":
            return 0
        said = {**_READY, "choices": _CHOICES} if message["op"] == "start" else answer(message)
        print(json.dumps(said, separators=(",", ":")), flush=True)
    return 1


def answer(message: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one ``run``."""
    try:
        life = _Life(message["given"])
        found = list(life.live(message["ops"])) if message["kind"] == "trace" else life.recovered()
    except UsageError as error:
        return {"id": message["id"], "error": error.rule}
    except InflightError as error:
        return {"id": message["id"], "answer": {"refused": culprit(error)}}
    return {"id": message["id"], "answer": found}


class _Life:
    """A back-end on the bytes of a case, one process after the other; the driver may store between its stores."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Lay the bytes. Raises InflightError for those that a front-end must not give."""
        known, revision = GAPS_OF[given["ring"]], given["revision"]
        gaps = {gap: one for gap, one in parse_gaps(_CHOICES).items() if gap in known and revision in open_in(gap)}
        self.given = parse({name: given[name] for name in STATE if name in given}, gaps=gaps)
        self.memory = LaidMemory(self.given)
        self.pieces = PiecesOfMemory(self.given.pieces)
        self.resubmitted: list[Any] = []
        self.chains: list[list[int]] = []
        self.lengths: dict[int, int] = {}
        self.stores: list[list[Any]] = []
        self.meanwhile: list[Any] = []

    def start(self) -> SplitQueue | PackedQueue:
        """Start a new process on the memory as it is: it recovers."""
        queue = _Split(self) if self.memory.split is not None else _Packed(self)
        queue.start()
        return queue

    def recovered(self) -> dict[str, Any]:
        """Recover, and say what came of it."""
        queue = self.start()
        queue.look()
        memory = {name: content.hex() for name, content in self.memory.now().items()}
        counter = queue.counter.value if self.given.choices.counted else None
        told: dict[str, Any] = {"resubmit": self.resubmitted, "chains": self.chains, "counter": counter}
        told |= {"region": memory.pop("region"), "ring_memory": memory}
        if isinstance(queue, SplitQueue):
            return told | {"next_avail": queue.last_avail, "used": queue.ring.used.idx}
        region = self.memory.region
        return told | {
            "next_avail": {"slot": queue.avail_idx, "wrap": queue.avail_wrap},
            "used": {"slot": region.used_idx, "wrap": region.used_wrap_counter},
        }

    def live(self, ops: list[Any]) -> Iterator[dict[str, Any]]:
        """Live through the ops of a trace; say of each what was fetched and stored."""
        queue: SplitQueue | PackedQueue | None = None
        for op in ops:
            if op["op"] == "driver":
                self._driver(op["stores"])
                continue
            self.stores, self.meanwhile, fetched = [], list(op.get("meanwhile", ())), None
            if op["op"] == "start":
                queue = self.start()
            elif queue is None:
                raise UsageError(f"{op['op']} before a start")
            elif op["op"] == "fetch":
                fetched = _fetch(queue)
            else:
                self._supply(queue, op["batch"])
            yield {"fetched": fetched, "stores": self.stores}

    def _driver(self, stores: list[Any]) -> None:
        for part, offset, content in stores:
            if part != "call":  # that the driver has heard of a notification is nothing that a back-end sees
                self.memory.put(part, offset, bytes.fromhex(content))

    def _supply(self, queue: SplitQueue | PackedQueue, batch: list[Any]) -> None:
        finished = [(one.get("head", one.get("entry")), one["len"]) for one in batch]
        self.lengths = dict(finished)
        left = iter([request for request, _ in finished])
        queue.supply(lambda: next(left, None))

    # What a queue calls

    def call(self) -> None:
        """Note that the driver is notified."""
        self.before("call", 0, 1)
        self.stores.append(["call", 0, "01"])

    def before(self, part: str, offset: int, width: int) -> None:
        """Let the driver do what it does right before the first store to a place."""
        due = [one for one in self.meanwhile if one["before"][0] == part and 0 <= one["before"][1] - offset < width]
        self.meanwhile = [one for one in self.meanwhile if one not in due]
        for one in due:
            self._driver(one["stores"])


class _Split(SplitQueue):
    """A split queue of the reference whose stores are told."""

    def __init__(self, life: _Life) -> None:
        """Lay it over the memory of a life."""
        self.life = life
        ring = life.memory.split
        assert ring is not None

        def submit(head: int) -> None:
            number = len(split_chain(ring, life.pieces, head))
            life.resubmitted.append(head)
            life.chains.append(_linked(ring.desc, head, number))

        super().__init__(
            ring, life.memory.region, life.given.choices, submit=submit, call=life.call,
            used_len=lambda head: life.lengths[head],
        )  # fmt: skip

    def store(self, target: Any, field: str | int, value: int, step: str) -> None:
        """Make a store, and tell it."""
        part, offset, width = self.life.memory.where(target, field)
        self.life.before(part, offset, width)
        super().store(target, field, value, step)
        self.life.stores.append([part, offset, value.to_bytes(width, "little").hex()])


class _Packed(PackedQueue):
    """A packed queue of the reference whose stores are told."""

    def __init__(self, life: _Life) -> None:
        """Lay it over the memory of a life."""
        self.life = life
        ring = life.memory.packed
        assert ring is not None
        said = life.given.base
        base = (0, 1) if said is None or life.memory.region.version else used_place(said, ring.size)

        def submit(entry: int) -> None:
            packed_chain(self.given, life.pieces, entry, ring.size)
            life.resubmitted.append({"entry": entry, "id": self.id_of(entry)})
            life.chains.append(_linked(life.memory.region.desc, entry, len(self.given)))

        super().__init__(
            ring, life.memory.region, life.given.choices, submit=submit, call=life.call,
            used_len=lambda entry: life.lengths[entry], base=base,
        )  # fmt: skip

    def store(self, target: Any, field: str | int, value: int, step: str) -> None:
        """Make a store, and tell it."""
        part, offset, width = self.life.memory.where(target, field)
        self.life.before(part, offset, width)
        super().store(target, field, value, step)
        self.life.stores.append([part, offset, value.to_bytes(width, "little").hex()])


def _linked(table: Any, first: int, number: int) -> list[int]:
    """Give the numbers of so many descriptors that follow each other."""
    chain = [first]
    while len(chain) < number:
        chain.append(table[chain[-1]].next)
    return chain


def _fetch(queue: SplitQueue | PackedQueue) -> int | None:
    """Fetch one request; where there is none ask for a kick, look again, and fetch what has come."""
    if queue.resting:
        queue.wake()
    queue.look()
    if not queue.available:
        queue.arm()
        if not queue.look_again():
            return None
    return queue.take()


if __name__ == "__main__":
    sys.exit(main())
