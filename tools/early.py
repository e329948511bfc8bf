"""Which stores of an op must not be late: found by what a crash would leave, and what recovery makes of that.

The other records (`orders`) say it of neighbouring stores and of single pairs. Here, of each two stores of an op, the
earlier one is left out, with those that have to come after it anyway; the process dies right after the later one.
Where recovery then refuses, or ends with what it ends with after none of the stores as the text has them, the earlier
store has to come before the later one: in every life, since nobody's stores are in another order by chance.

``python -m tools.early`` finds them in all lives and writes early.json (a minute).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from ctypes import sizeof
from dataclasses import replace
from typing import Any

from refimpl.layout import DESC_AVAIL, DESC_USED, PackedDesc, region_type
from vhost_inflight.recover.given import parse
from vhost_inflight.recover.record import Recovery
from vhost_inflight.recover.running import recover
from vhost_inflight.vectors.form import PARTS, Given, Lived
from vhost_inflight.vectors.orders import EARLY, Pair, before_pairs, recorded
from vhost_inflight.vectors.scripts import Script, orders, scripts
from vhost_inflight.vectors.served import Process
from vhost_inflight.vectors.sets import PROVED
from vhost_inflight.vectors.states import Memory, back_end
from vhost_inflight.vectors.traces import life_vectors

__all__ = ["found_in", "main"]


def found_in(ring: str, revision: str, script: Script, known: Collection[Pair] = ()) -> Iterator[tuple[Pair, str]]:
    """Yield each two steps whose stores have to come in this order, and what is told of it; `known` are not tried."""
    for vector in life_vectors(ring, revision, script):
        process = Process(back_end(ring, revision), vector.given)
        lived = iter(process.live(vector.ops))
        steps = iter(process.taken)
        memory = Memory({"region": vector.given.region, **vector.given.ring_memory})
        for number, op in enumerate(vector.ops):
            if op.op != "driver":
                crash = _Crash(vector.given, memory, next(lived), next(steps))
                where = f"{ring}-{revision}-life-{script.name}, op {number}"
                yield from ((pair, f"{where}: {why}") for pair, why in crash.late(known))
            memory.store(op.stores if op.op == "driver" else crash.one.stores)


class _Crash:
    """An op, and what is left where the process dies in it."""

    def __init__(self, given: Given, memory: Memory, one: Lived, steps: Sequence[str]) -> None:
        """Recover after each of its stores, which these steps made, as the text has them."""
        self.given, self.one, self.steps = given, one, steps
        self.pairs = before_pairs(steps, recorded(given.ring))
        self.before = {name: bytes(part) for name, part in memory.parts.items()}
        self.right = [self.left(range(number)) for number in range(len(one.stores) + 1)]

    def left(self, numbers: Collection[int]) -> Any:
        """Give what recovery ends with when these stores were made, as far as driver or back-end will read it."""
        memory, given = Memory(self.before), self.given
        memory.store(self.one.stores[number] for number in numbers)
        parts = {name: bytes(memory.parts[name]) for name in PARTS[given.ring]}
        state = replace(given, region=bytes(memory.parts["region"]), ring_memory=parts).state()
        return _ends(recover(parse(state)), self.before)

    def late(self, known: Collection[Pair]) -> Iterator[tuple[Pair, str]]:
        """Yield the pairs of steps of which the store of the first must not come after that of the second."""
        stores = self.one.stores
        for first in range(len(stores)):
            held = self._after(first)
            for second in range(first + 1, len(stores)):
                pair = self.steps[first], self.steps[second]
                if second in held or pair in known or stores[second].part == "call":
                    continue
                left = self.left([number for number in range(second + 1) if number not in held])
                if left not in self.right:
                    yield pair, str(left) if isinstance(left, str) else "recovery ends otherwise"

    def _after(self, number: int) -> set[int]:
        """Give a store, and those that have to come after it."""
        found, new = {number}, {number}
        while new := {later for earlier, later in self.pairs if earlier in new} - found:
            found |= new
        return found


def _ends(recovery: Recovery, before: Mapping[str, bytes]) -> Any:
    """Give what a recovery ends with, as far as anybody will read it; of a refusal the rule. `before`: the op."""
    if recovery.refused is not None:
        return recovery.refused.rule
    given, after = recovery.given, recovery.after
    region: Any = region_type(given.ring, given.revision, given.region_size).from_buffer_copy(after["region"])
    marks = [entry.inflight for entry in region.desc]
    again = [(request.entry, request.identity, request.descriptors) for request in recovery.resubmitted]
    if given.ring == "split":
        return again, recovery.position, marks, region.version, region.desc_num, region.used_idx, _new(recovery, before)
    free: list[int] = []
    number = region.free_head
    while number < given.region_size and len(free) < given.region_size:
        free.append(number)
        number = region.desc[number].next
    positions = region.used_idx, region.used_wrap_counter, region.old_used_idx, region.old_used_wrap_counter
    return again, recovery.position, marks, region.version, region.desc_num, positions, sorted(free), _slots(recovery)


def _new(recovery: Recovery, before: Mapping[str, bytes]) -> list[bytes]:
    """Give the used elements that became visible: the driver may have read the others, which are overwritten."""
    used, size = recovery.after["used"], recovery.given.queue_size
    first, idx = (int.from_bytes(one["used"][2:4], "little") for one in (before, recovery.after))
    slots = [4 + 8 * ((first + number) % size) for number in range((idx - first) % 65536)]
    return [used[slot : slot + 8] for slot in slots]


def _slots(recovery: Recovery) -> list[tuple[int, bytes]]:
    """Give the marks of each slot, and id and len of those that are marked used."""
    content, width = recovery.after["descriptors"], sizeof(PackedDesc)
    found = []
    for at in range(0, width * recovery.given.queue_size, width):
        marks = int.from_bytes(content[at + 14 : at + 16], "little") & (DESC_AVAIL | DESC_USED)
        used = marks in {0, DESC_AVAIL | DESC_USED}
        found.append((marks, content[at + 8 : at + 14] if used else b""))
    return found


def _lives(ring: str) -> Iterator[Script]:
    yield from scripts(ring)
    yield from orders(ring)


def main() -> None:
    """Find all pairs, and write them with the first life that shows each."""
    told = []
    for ring, revision in PROVED:
        known: dict[Pair, str] = {}
        for script in _lives(ring):
            for pair, where in found_in(ring, revision, script, known):
                known.setdefault(pair, where)
        told += [{"ring": ring, "earlier": a, "later": b, "shown": where} for (a, b), where in sorted(known.items())]
    EARLY.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"{len(told)} pairs of steps")


if __name__ == "__main__":
    main()
