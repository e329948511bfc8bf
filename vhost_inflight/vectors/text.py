"""The messages of `messages` as lines of words, for who has no parser of JSON at hand.

Words are separated by single spaces, a message ends with the line ``end``. Bytes are lower-case hex, none are ``-``.
The lines of an answer may come in any order within their op.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from vhost_inflight.vectors.form import Given, Op, Vector
from vhost_inflight.vectors.messages import VERSION, MessageError

__all__ = ["END", "START", "STOP", "answer", "ready", "run"]

END: Final = "end"
"""The last line of each message."""

START: Final = f"start {VERSION}\n{END}\n"
"""The first message."""

STOP: Final = f"stop\n{END}\n"
"""The last message."""


def run(vector: Vector) -> str:
    """Give the message that asks about a vector, which is also what a `.vec` file has of it."""
    lines = (f"run {vector.id} {vector.kind}", *_given(vector.given), *_ops(vector.ops), END)
    return "".join(f"{line}\n" for line in lines)


def _given(given: Given) -> Iterator[str]:
    for name in ("ring", "revision", "queue_size", "region_size", "base", "offset", "stride"):
        yield f"{name} {getattr(given, name)}"
    if given.shared is not None:
        yield f"queues {given.queues}"
        yield f"queue {given.queue}"
        yield f"shared {_hex(given.shared)}"
    yield f"region {_hex(given.region)}"
    for name, content in given.ring_memory.items():
        yield f"{name} {_hex(content)}"
    for address, content in given.memory:
        yield f"memory {address} {_hex(content)}"


def _ops(ops: Iterable[Op]) -> Iterator[str]:
    for op in ops:
        yield f"op {op.op}"
        for request, length in op.batch:
            yield f"used {request} {length}"
        for store in op.stores:
            yield f"store {store.part} {store.offset} {_hex(store.data)}"
        for meanwhile in op.meanwhile:
            yield f"meanwhile {meanwhile.before[0]} {meanwhile.before[1]}"
            for store in meanwhile.stores:
                yield f"store {store.part} {store.offset} {_hex(store.data)}"


def _hex(content: bytes) -> str:
    return content.hex() or "-"


def ready(said: str) -> dict[str, Any]:
    """Give an answer to `start` as the JSON value that says the same. Raises MessageError."""
    lines = [line.split(" ") for line in _lines(said)]
    first = lines[0] if lines else [""]
    if first[0] != "ready" or len(first) < 3:
        raise MessageError(f"it answered {_shown(said)} to start, and not: ready {VERSION} NAME")
    told: dict[str, Any] = {"version": _number(first[1]), "name": " ".join(first[2:])}
    for name, *words in lines[1:]:
        if name in told:
            raise MessageError(f"it says {name} twice")
        told[name] = words
    return told


def answer(said: str, vector: Vector) -> dict[str, Any]:
    """Give an answer to a case as the JSON value that says the same. Raises MessageError."""
    first, *lines = _lines(said) or [""]
    word, _, rest = first.partition(" ")
    identity, _, why = rest.partition(" ")
    if word in {"unsupported", "error"} and not lines:
        return {"id": identity, word: why}
    if word == "refused" and not lines:
        return {"id": identity, "answer": {"refused": why}}
    if word != "result":
        raise MessageError(f"{_shown(said)} is no result, refused, unsupported or error")
    words = [line.split(" ") for line in lines]
    return {"id": identity, "answer": _lived(words) if vector.kind == "trace" else _recovered(words, vector.ring)}


def _recovered(lines: list[list[str]], ring: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    memory: dict[str, str] = {}
    for name, *words in lines:
        if name == "chain":
            told.setdefault("chains", []).append([_number(word) for word in words])
            continue
        if name in told or (name == "after" and words and words[0] in memory):
            raise MessageError(f"it says {' '.join([name, *words[:1]])} twice")
        if name == "resubmit":
            told[name] = [_request(word, ring) for word in words]
        elif name == "after" and len(words) == 2:
            memory[words[0]] = _bytes(words[1])
        elif name in {"next_avail", "used"} and len(words) == 1:
            told[name] = _place(words[0], ring)
        elif name == "counter" and len(words) == 1:
            told[name] = None if words[0] == "-" else _number(words[0])
        else:
            raise MessageError(f"a result has no line {_shown(' '.join([name, *words]))}")
    if not told.get("resubmit"):
        told.setdefault("chains", [])
    region = {"region": memory.pop("region")} if "region" in memory else {}
    return told | region | {"ring_memory": memory}


def _lived(lines: list[list[str]]) -> list[dict[str, Any]]:
    ops: list[dict[str, Any]] = []
    for line in lines:
        if line == ["op"]:
            ops.append({"fetched": None, "stores": []})
        elif not ops:
            raise MessageError(f"the result of a trace begins with {_shown(' '.join(line))}, and not with op")
        elif line[0] == "fetched" and len(line) == 2:
            ops[-1]["fetched"] = None if line[1] == "-" else _number(line[1])
        elif line[0] == "store" and len(line) == 4:
            ops[-1]["stores"].append([line[1], _number(line[2]), _bytes(line[3])])
        else:
            raise MessageError(f"the result of a trace has no line {_shown(' '.join(line))}")
    return ops


def _lines(said: str) -> list[str]:
    """Give the lines of a message without its end."""
    return said.splitlines()[:-1]


def _number(word: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 20:
        raise MessageError(f"{_shown(word)} is no number")
    return int(word)


def _pair(word: str, names: tuple[str, str]) -> dict[str, int]:
    first, colon, second = word.partition(":")
    if not colon:
        raise MessageError(f"{_shown(word)} is no {names[0].upper()}:{names[1].upper()}")
    return {names[0]: _number(first), names[1]: _number(second)}


def _request(word: str, ring: str) -> Any:
    return _number(word) if ring == "split" else _pair(word, ("entry", "id"))


def _place(word: str, ring: str) -> Any:
    return _number(word) if ring == "split" else _pair(word, ("slot", "wrap"))


def _bytes(word: str) -> str:
    return "" if word == "-" else word


def _shown(said: str) -> str:
    return repr(said if len(said) <= 60 else f"{said[:57]}...")
