"""A vector that is a life, in words: what has to come of each op, and which of its stores must not be late."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from typing import Any, Final

from vhost_inflight.recover.memory import place_in, structures

__all__ = ["life"]

_WIDTH: Final = 116
_IN: Final = " " * 4


def life(vector: Mapping[str, Any]) -> str:
    """Return the ops of a vector of the kind ``trace``, in lines; of several right answers, the first."""
    given = vector["given"]
    laid = structures(given["ring"], given["revision"], given["queue_size"], given["region_size"])
    right = iter(vector["expect"]["one_of"][0]["answer"])
    told = ["Then, op by op (what is above is the first start alone):"]
    for number, op in enumerate(vector["ops"]):
        driver = op["op"] == "driver"
        what = [f"stores {_stores(laid, op['stores'])}"] if driver else _back_end(laid, op, next(right))
        told.append(f"op {number}, {op['op']}")
        told += [line for one in what for line in wrap(one, _WIDTH, initial_indent=_IN, subsequent_indent=2 * _IN)]
    return "\n".join(told)


def _back_end(laid: Mapping[str, Any], op: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is asked of a back-end in an op, and what it has to store."""
    if op["op"] == "supply":
        yield f"the device has finished {', '.join(str(one.get('head', one.get('entry'))) for one in op['batch'])}"
    for meanwhile in op.get("meanwhile", ()):
        part, offset = meanwhile["before"]
        place, stores = _name(laid, part, offset, 1), _stores(laid, meanwhile["stores"])
        yield f"right before the store to {place} the driver stores {stores}"
    if op["op"] == "fetch":
        yield "fetches " + ("nothing" if right["fetched"] is None else str(right["fetched"]))
    made = right["stores"]
    yield f"changes {_stores(laid, made)}" if made else "changes nothing"
    for later, before in sorted(_needed(right["before"]).items()):
        names = ", ".join(_name(laid, *_at(made[number])) for number in before)
        yield f"{_name(laid, *_at(made[later]))} comes after {names}"


def _needed(pairs: Iterable[list[int]]) -> dict[int, list[int]]:
    """Return by store which ones come before it, without those that others of these come after."""
    before: dict[int, set[int]] = {}
    for first, second in pairs:
        before.setdefault(second, set()).add(first)
    return {
        later: sorted(one for one in those if not any(one in before.get(other, ()) for other in those))
        for later, those in before.items()
    }


def _stores(laid: Mapping[str, Any], stores: list[list[Any]]) -> str:
    return ", ".join(_store(laid, one) for one in stores)


def _store(laid: Mapping[str, Any], store: list[Any]) -> str:
    if store[0] == "call":
        return "and notifies the driver"
    number = int.from_bytes(bytes.fromhex(store[2]), sys.byteorder)
    return f"{_name(laid, *_at(store))} := {number if number < 1 << 12 else hex(number)}"


def _at(store: list[Any]) -> tuple[str, int, int]:
    return store[0], store[1], len(store[2]) // 2


def _name(laid: Mapping[str, Any], part: str, offset: int, width: int) -> str:
    if part == "call":
        return "the notification"
    try:
        return place_in(laid[part], part, offset, width).where
    except IndexError:  # behind a ring of a split queue
        return {"available": "used_event", "used": "avail_event"}.get(part, f"{part}, byte {offset}")
