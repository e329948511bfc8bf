"""Whether an answer is one of those that a vector accepts, byte by byte under the masks; and where it is not.

Of a life, the changes count and not the stores: how wide they are, how often they are repeated and whether one is made
that changes nothing is a back-end's own affair.
"""

from __future__ import annotations

from collections.abc import Mapping

from vhost_inflight.vectors.form import Answer, Lived, Op, Recovered, Refused, Store, Vector

__all__ = ["difference"]


def difference(vector: Vector, answer: Answer) -> str | None:
    """Say what is wrong with an answer, against the outcome that it is nearest to; None: nothing is."""
    found = [_difference(vector, outcome.answer, answer) for outcome in vector.outcomes]
    return None if None in found else found[0]


def _difference(vector: Vector, wanted: Answer, answer: Answer) -> str | None:
    if isinstance(wanted, Refused):
        return None if isinstance(answer, Refused) else "it is not refused"
    if isinstance(answer, Refused):
        return f"it is refused, and the {answer.culprit} blamed"
    if isinstance(wanted, Recovered) and isinstance(answer, Recovered):
        return _recovered(wanted, answer)
    if isinstance(wanted, tuple) and isinstance(answer, tuple):
        return _lived(vector, wanted, answer)
    return "it is an answer to a vector of another kind"


def _recovered(wanted: Recovered, answer: Recovered) -> str | None:
    for name in ("resubmit", "next_avail", "used"):
        right, told = getattr(wanted, name), getattr(answer, name)
        if right != told:
            return f"{name} is {told}, and not {right}"
    if None not in (wanted.chains, answer.chains) and wanted.chains != answer.chains:
        return f"chains are {answer.chains}, and not {wanted.chains}"
    if wanted.counter is not None and wanted.counter != answer.counter:
        return f"counter is {answer.counter}, and not {wanted.counter}"
    parts = {"region": (wanted.region, answer.region, wanted.region_mask)}
    for name, mask in wanted.ring_mask.items():
        parts[name] = (wanted.ring_memory[name], answer.ring_memory.get(name, b""), mask)
    for name, (right, told, mask) in parts.items():
        if (at := _first(right, told, mask)) is not None:
            return f"byte {at} of {name} is not {right[at]:02x}"
    return None


def _first(right: bytes, told: bytes, mask: bytes) -> int | None:
    """Give the first byte that differs under a mask."""
    if len(told) < len(right):
        return len(told)
    return next((n for n, (a, b, m) in enumerate(zip(right, told, mask, strict=False)) if (a ^ b) & m), None)


# Lives


def _lived(vector: Vector, wanted: tuple[Lived, ...], answer: tuple[Lived, ...]) -> str | None:
    given = {"region": vector.given.region, **vector.given.ring_memory}
    right = {name: bytearray(data) for name, data in given.items()}
    told = {name: bytearray(data) for name, data in given.items()}
    asked = [(number, op) for number, op in enumerate(vector.ops) if op.op != "driver"]
    if len(answer) != len(asked):
        return f"there are {len(answer)} answers to {len(asked)} ops"
    back_ends = dict(zip((n for n, _ in asked), zip(wanted, answer, strict=True), strict=True))
    for number, op in enumerate(vector.ops):
        if op.op == "driver":
            _store(right, op.stores)
            _store(told, op.stores)
        elif (wrong := _op(vector, op, *back_ends[number], right, told)) is not None:
            return f"op {number}, {op.op}: {wrong}"
    return None


def _store(memory: Mapping[str, bytearray], stores: tuple[Store, ...]) -> None:
    for store in stores:
        memory[store.part][store.offset : store.offset + len(store.data)] = store.data


def _op(
    vector: Vector, op: Op, wanted: Lived, answer: Lived, right: dict[str, bytearray], told: dict[str, bytearray]
) -> str | None:
    if wanted.fetched != answer.fetched:
        return f"fetched is {answer.fetched}, and not {wanted.fetched}"
    meanwhile = {(s.part, s.offset + n) for m in op.meanwhile for s in m.stores for n in range(len(s.data))}
    expected, made = _changes(right, wanted, op), _changes(told, answer, op)
    for place in sorted({*expected, *made} - meanwhile):
        part, offset = place
        mask = vector.mask.get(part, b"")
        shown = mask[offset] if offset < len(mask) else 0
        new, old = expected.get(place, (None, 0))[0], made.get(place, (None, 0))[0]
        if shown and new != old:
            return f"byte {offset} of {part} becomes {_hex(old)}, and not {_hex(new)}"
    for first, second in wanted.before:
        ends = [made[p][1] for p in _bytes(wanted.stores[first]) if p in expected and p in made]
        begins = [made[p][1] for p in _bytes(wanted.stores[second]) if p in expected and p in made]
        if ends and begins and max(ends) > min(begins):
            one, other = wanted.stores[first], wanted.stores[second]
            return f"the store to {other.part}, {other.offset}, comes before that to {one.part}, {one.offset}"
    return None


def _changes(memory: dict[str, bytearray], lived: Lived, op: Op) -> dict[tuple[str, int], tuple[int, int]]:
    """Make the stores; give each byte that is other than before, with its value and the number of its last change."""
    memory["call"] = bytearray(1)
    before = {name: bytes(data) for name, data in memory.items()}
    changed: dict[tuple[str, int], int] = {}
    due = list(op.meanwhile)
    for number, store in enumerate(lived.stores):
        for m in [m for m in due if m.before == (store.part, store.offset)]:
            due.remove(m)
            _store(memory, m.stores)
        for n, value in enumerate(store.data):
            place = (store.part, store.offset + n)
            if store.offset + n < len(memory[store.part]) and memory[store.part][store.offset + n] != value:
                memory[store.part][store.offset + n] = value
                changed[place] = number
    for m in due:
        _store(memory, m.stores)
    return {
        (part, offset): (memory[part][offset], number)
        for (part, offset), number in changed.items()
        if memory[part][offset] != before[part][offset]
    }


def _bytes(store: Store) -> list[tuple[str, int]]:
    return [(store.part, store.offset + n) for n in range(len(store.data))]


def _hex(value: int | None) -> str:
    return "nothing" if value is None else f"{value:02x}"
