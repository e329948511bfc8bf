"""What is said to an adapter, and what it may answer, as JSON values; `text` says the same in lines of words.

An adapter may be anybody's program: each answer is read strictly here, as messages.schema.json says it (a test holds
the two against each other), and what is wrong with one is said in a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from refimpl.documents import shown
from vhost_inflight.vectors.form import PARTS, Lived, Recovered, Refused, Store, Vector

__all__ = [
    "CULPRITS", "START", "STOP", "VERSION", "Answered", "MessageError", "Ready", "read_answer", "read_ready", "run",
    "schema",
]  # fmt: skip

VERSION: Final = 1
"""The version of the contract; `start` says which ones are known here, `ready` says one of them."""

START: Final[Mapping[str, Any]] = {"op": "start", "versions": [VERSION]}
"""The first message."""

STOP: Final[Mapping[str, Any]] = {"op": "stop"}
"""The last message: the adapter ends, with exit status 0."""

CULPRITS: Final = ("front-end", "driver", "back-end")
"""Who can have broken a rule; of a region: the back-end that stored it."""

_HEX: Final = re.compile("(?:[0-9a-f]{2})*")
_STORED_TO: Final = frozenset({"region", "call", *PARTS["split"], *PARTS["packed"]})


class MessageError(Exception):
    """What an adapter said is no message of the contract: the text says why."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What an adapter says of itself: its name, and which rings, kinds and revisions it can be asked about.

    ``choices`` are those of gaps, other than the defaults, that it makes wherever it stores.
    """

    name: str
    rings: tuple[str, ...]
    kinds: tuple[str, ...]
    revisions: tuple[str, ...]
    choices: tuple[str, ...] = ()

    def lacks(self, vector: Vector) -> str | None:
        """Say what a vector needs and the adapter does not have; None if it has all."""
        needed = (("ring", vector.ring, self.rings), ("kind", vector.kind, self.kinds),
                  ("revision", vector.revision, self.revisions))  # fmt: skip
        return next((f"it has no {what} {name}" for what, name, there in needed if name not in there), None)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a case: one of `result`, `unsupported` (why) and `error` (why).

    Memory in a `Recovered` has no masks, and no order is named in a `Lived`: these are the vector's to say.
    """

    result: Recovered | Refused | tuple[Lived, ...] | None = None
    unsupported: str | None = None
    error: str | None = None


def run(vector: Vector) -> dict[str, Any]:
    """Give the message that asks about a vector: nothing of what is expected."""
    told = vector.json()
    asked = {"op": "run", "id": vector.id, "kind": vector.kind, "given": told["given"]}
    return asked | ({"ops": told["ops"]} if vector.kind == "trace" else {})


def read_ready(said: Any) -> Ready:
    """Read the answer to `start`. Raises MessageError."""
    more = ("choices",) if isinstance(said, dict) and "choices" in said else ()
    message = _object(said, "the answer to start", ("version", "name", "rings", "kinds", "revisions", *more))
    if message["version"] != VERSION or isinstance(message["version"], bool):
        raise MessageError(f"it speaks version {shown(message['version'])}; version {VERSION} is known here")
    return Ready(
        _text(message["name"], "name"),
        **{name: _list(message[name], name, _text) for name in ("rings", "kinds", "revisions", *more)},
    )


def read_answer(said: Any, vector: Vector) -> Answered:
    """Read the answer to a case. Raises MessageError."""
    kinds = ("answer", "unsupported", "error")
    if not isinstance(said, dict) or set(said) not in [{"id", kind} for kind in kinds]:
        raise MessageError(f"{shown(said)} is no object with an id and one of {', '.join(kinds)}")
    if said["id"] != vector.id:
        raise MessageError(f"it answered to {shown(said['id'])}, and was asked about {vector.id}")
    if "unsupported" in said:
        return Answered(unsupported=_text(said["unsupported"], "unsupported"))
    if "error" in said:
        return Answered(error=_text(said["error"], "error"))
    answer = said["answer"]
    if isinstance(answer, dict) and "refused" in answer:
        return Answered(_refused(answer))
    return Answered(_lived(answer) if vector.kind == "trace" else _recovered(answer, vector.ring))


def _refused(said: Any) -> Refused:
    culprit = _object(said, "a refusal", ("refused",))["refused"]
    if culprit not in CULPRITS:
        raise MessageError(f"it refuses, and blames {shown(culprit)}; there are: {', '.join(CULPRITS)}")
    return Refused(culprit)


def _recovered(said: Any, ring: str) -> Recovered:
    names = ("resubmit", "next_avail", "used", "counter", "region", "ring_memory")
    more = ("chains",) if isinstance(said, dict) and "chains" in said else ()
    answer = _object(said, "an answer", (*names, *more))
    memory = answer["ring_memory"]
    if not isinstance(memory, dict) or not set(memory) <= set(PARTS[ring]):
        raise MessageError(f"ring_memory is no object with parts of a {ring} ring ({', '.join(PARTS[ring])})")
    requests: Callable[[Any, str], Any] = _number if ring == "split" else _pair(("entry", "id"))
    place: Callable[[Any, str], Any] = _number if ring == "split" else _pair(("slot", "wrap"))
    return Recovered(
        _list(answer["resubmit"], "resubmit", requests),
        place(answer["next_avail"], "next_avail"), place(answer["used"], "used"),
        None if answer["counter"] is None else _number(answer["counter"], "counter", 2**64 - 1),
        _bytes(answer["region"], "region"), b"",
        {name: _bytes(value, f"ring_memory.{name}") for name, value in memory.items()}, {},
        _list(answer["chains"], "chains", lambda one, what: _list(one, what, _number)) if more else None,
    )  # fmt: skip


def _lived(said: Any) -> tuple[Lived, ...]:
    return _list(said, "the answer to a trace", _one_op)


def _one_op(said: Any, what: str) -> Lived:
    op = _object(said, what, ("fetched", "stores"))
    fetched = None if op["fetched"] is None else _number(op["fetched"], f"{what}.fetched")
    return Lived(fetched, _list(op["stores"], f"{what}.stores", _store))


def _store(said: Any, what: str) -> Store:
    if not isinstance(said, list) or len(said) != 3:
        raise MessageError(f"{what} is {shown(said)}, and no list of a part, an offset and bytes")
    if said[0] not in _STORED_TO:
        raise MessageError(f"{what} goes to {shown(said[0])}; there are: {', '.join(sorted(_STORED_TO))}")
    stored = _bytes(said[2], what)
    if not stored:
        raise MessageError(f"{what} has no bytes")
    return Store(said[0], _number(said[1], what, 2**32), stored)


def _object(said: Any, what: str, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise MessageError(f"{what} is {shown(said)}, and no object")
    if set(said) != set(names):
        raise MessageError(f"{what} has {', '.join(map(str, said)) or 'nothing'}; it has to have {', '.join(names)}")
    return said


def _list(said: Any, what: str, one: Callable[[Any, str], Any]) -> tuple[Any, ...]:
    if not isinstance(said, list):
        raise MessageError(f"{what} is {shown(said)}, and no list")
    return tuple(one(value, f"{what}[{number}]") for number, value in enumerate(said))


def _text(said: Any, what: str) -> str:
    if not isinstance(said, str):
        raise MessageError(f"{what} is {shown(said)}, and no text")
    return said


def _number(said: Any, what: str, greatest: int = 65535) -> int:
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said <= greatest:
        raise MessageError(f"{what} is {shown(said)}, and no whole number from 0 to {greatest}")
    return said


def _pair(names: tuple[str, str]) -> Callable[[Any, str], tuple[int, int]]:
    """Give a reader of an object with two numbers."""

    def read(said: Any, what: str) -> tuple[int, int]:
        pair = _object(said, what, names)
        return _number(pair[names[0]], f"{what}.{names[0]}"), _number(pair[names[1]], f"{what}.{names[1]}")

    return read


def _bytes(said: Any, what: str) -> bytes:
    if not isinstance(said, str) or not _HEX.fullmatch(said):
        raise MessageError(f"{what} is {shown(said)}, and no bytes in lower-case hex")
    return bytes.fromhex(said)


@cache
def schema() -> dict[str, Any]:
    """Give the JSON Schemas of the messages: one under each name of `$defs`."""
    from importlib.resources import files  # noqa: PLC0415  # who checks an adapter needs no schema

    text = files("vhost_inflight.vectors").joinpath("messages.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
