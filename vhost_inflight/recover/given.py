"""What the oracle is given: the bytes of one queue's region and of its ring, read from JSON and checked.

Only the form is checked here, as state.schema.json says it; a test holds the two against each other. Whether the bytes
can be those of a region is for the reference to judge.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from refimpl.choices import RINGS, Choices
from refimpl.documents import DocumentError, read_json, shown
from refimpl.errors import InflightError
from refimpl.meetings import MEETINGS
from refimpl.packed.ring import EVENT_BYTES

__all__ = ["FORMAT", "SCHEMAS", "Given", "GivenError", "load", "parse", "schema"]

FORMAT: Final = "vhost-inflight state 1"
"""What an input says that it is."""

SCHEMAS: Final[Mapping[str, str]] = {"input": "state.schema.json", "output": "recovery.schema.json"}
"""The JSON Schemas that are shipped, and their files."""

ENCODINGS: Final = ("hex", "base64")
"""How bytes are written, the default first."""

_EVENT_AREAS: Final = ("driver_event", "device_event")
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "split": ("descriptors", "available", "used"),
    "packed": ("descriptors", *_EVENT_AREAS),
}
_FIELDS: Final = (
    "format", "ring", "revision", "gaps", "encoding", "queue_size", "region_size", "region", "ring_memory", "memory",
    "base", "stopped", "stride", "offset", "shared", "queues", "queue",
)  # fmt: skip


class GivenError(InflightError):
    """An input is no state. Raised by `load` and `parse`, with the place in it, before anything is run."""


@dataclass(frozen=True)
class Given:
    """The contents of an input.

    ``queue_size`` is the number of the ring's entries, ``region_size`` that of the region's. ``region`` are the
    region's bytes, ``parts`` those of each part of the ring by its name ("descriptors" ...), ``pieces`` pieces of the
    guest's memory by their guest address. ``base`` is what SET_VRING_BASE carried, None where nobody says it.
    ``stopped`` is the pair of generations by which the ring was stopped (of MEETINGS), "" where its back-end died.
    """

    choices: Choices
    queue_size: int
    region_size: int
    region: bytes
    parts: Mapping[str, bytes]
    pieces: tuple[tuple[int, bytes], ...]
    base: int | None = None
    stopped: str = ""

    @property
    def ring(self) -> str:
        """The kind of ring: split or packed."""
        return self.choices.ring

    @property
    def revision(self) -> str:
        """The revision of the text that is followed."""
        return self.choices.revision


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a shipped JSON Schema, ``input`` or ``output``. Raises KeyError for another name."""
    from importlib.resources import files  # noqa: PLC0415  # it takes long to import, and answers need no schema

    text = files("vhost_inflight.recover").joinpath(SCHEMAS[name]).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def load(text: bytes, revision: str | None = None, gaps: Mapping[str, str] | None = None) -> Given:
    """Read an input: JSON in UTF-8. Raises GivenError for what is no JSON, and as `parse` does."""
    try:
        document = read_json(text)
    except DocumentError as error:
        raise GivenError(str(error)) from error
    return parse(document, revision, gaps)


def parse(document: Any, revision: str | None = None, gaps: Mapping[str, str] | None = None) -> Given:
    """Check the contents of an input and give them a form; ``revision`` and ``gaps`` win over what they say.

    Where nobody names a revision, it is the one that is proved for the ring. Raises GivenError, naming the place, and
    UsageError for a revision, a gap or a choice that does not exist or is not open.
    """
    state = _Fields(document, "the top", _FIELDS)
    told = state.text("format")
    if told != FORMAT:
        hint = "; a schedule is for `replay`" if told.startswith("vhost-inflight schedule") else ""
        raise GivenError(f"at format: {shown(told)}, and not {shown(FORMAT)}: this is no state{hint}")
    ring = state.one_of("ring", RINGS)
    encoding = state.one_of("encoding", ENCODINGS, ENCODINGS[0])
    size = state.number("queue_size", 65535)
    written = state.fields("gaps", ())
    chosen = {gap: written.text(gap) for gap in written.names}
    named = state.text("revision", "")
    region_size, region = state.number("region_size", 65535, size), state.bytes("region", encoding)
    parts = _parts(state.fields("ring_memory", _PARTS[ring], needed=True), ring, encoding)
    pieces = tuple(
        (piece.number("address", 2**64 - 1), piece.bytes("bytes", encoding))
        for piece in state.list("memory", ("address", "bytes"))
    )
    base = None if state.lacks("base") else state.number("base", 2**32 - 1)
    stopped = "" if state.lacks("stopped") else state.one_of("stopped", MEETINGS)
    _check_buffer(state, encoding)
    choices = Choices.from_mapping(chosen | dict(gaps or {}), revision or named, ring)
    return Given(choices, size, region_size, region, parts, pieces, base, stopped)


def _check_buffer(state: _Fields, encoding: str) -> None:
    """Check the form of what a test vector says of the buffer around the region: one queue's recovery needs none."""
    state.number("stride", 2**64 - 1, 0)
    state.number("offset", 2**64 - 1, 0)
    state.number("queues", 65535, 0)
    state.number("queue", 65535, 0)
    if not state.lacks("shared"):
        state.bytes("shared", encoding)


def _parts(told: _Fields, ring: str, encoding: str) -> dict[str, bytes]:
    """Return the bytes of each part of a ring; the event areas of a packed one may be missing: recovery reads none."""
    missing = dict.fromkeys(_EVENT_AREAS, bytes(EVENT_BYTES)) if ring == "packed" else {}
    return {name: missing[name] if told.lacks(name) and name in missing else told.bytes(name, encoding)
            for name in _PARTS[ring]}  # fmt: skip


class _Fields:
    """An object of an input, whose fields are read one by one; what is wrong with one is told with its place."""

    def __init__(self, value: Any, place: str, names: Collection[str]) -> None:
        """Take an object with no other fields than ``names``; without names, any may be there. Raises GivenError."""
        if not isinstance(value, dict):
            raise GivenError(f"at {place}: {shown(value)} is no object")
        surplus = [name for name in value if names and name not in names]
        if surplus:
            raise GivenError(f"at {place}: there is no {shown(surplus[0])} here; there are: {', '.join(names)}")
        self._value = value
        self._place = "" if place == "the top" else f"{place}."
        self.names = tuple(value)

    def lacks(self, name: str) -> bool:
        """Whether a field is not there."""
        return name not in self._value

    def _of(self, name: str, default: Any = None) -> Any:
        if name in self._value:
            return self._value[name]
        if default is None:
            raise GivenError(f"at {self._place.removesuffix('.') or 'the top'}: {name} is missing")
        return default

    def _wrong(self, name: str, what: str) -> GivenError:
        return GivenError(f"at {self._place}{name}: {what}")

    def text(self, name: str, default: str | None = None) -> str:
        """Give a string; without a default it has to be there."""
        value = self._of(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, f"{shown(value)} is no text")
        return value

    def one_of(self, name: str, known: Collection[str], default: str | None = None) -> str:
        """Give a string that is one of ``known``."""
        value = self.text(name, default)
        if value not in known:
            raise self._wrong(name, f"{shown(value)} is none of {', '.join(known)}")
        return value

    def number(self, name: str, greatest: int, default: int | None = None) -> int:
        """Give a whole number from 0 to ``greatest``."""
        value = self._of(name, default)
        whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
        if not whole or not 0 <= value <= greatest:
            raise self._wrong(name, f"{shown(value)} is no whole number from 0 to {greatest}")
        return int(value)

    def fields(self, name: str, names: Collection[str], *, needed: bool = False) -> _Fields:
        """Give an object, as `_Fields` takes it; an empty one, where it is not there and not needed."""
        return _Fields(self._of(name, None if needed else {}), f"{self._place}{name}", names)

    def list(self, name: str, names: Collection[str]) -> list[_Fields]:
        """Give a list of objects; an empty one where it is not there."""
        value = self._of(name, [])
        if not isinstance(value, list):
            raise self._wrong(name, f"{shown(value)} is no list")
        return [_Fields(one, f"{self._place}{name}[{number}]", names) for number, one in enumerate(value)]

    def bytes(self, name: str, encoding: str) -> bytes:
        """Give the bytes that a string stands for; white space is left out."""
        text = self.text(name)
        if encoding == "hex":
            with contextlib.suppress(ValueError):
                return bytes.fromhex(text)  # as most are: without white space, or with some between bytes
        text = "".join(text.split())
        try:
            return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error) as error:
            raise self._wrong(name, _no_bytes(text, encoding)) from error


def _no_bytes(text: str, encoding: str) -> str:
    """Say why a text without white space stands for no bytes."""
    allowed, group = ("[0-9a-fA-F]", 2) if encoding == "hex" else ("[0-9a-zA-Z+/=]", 4)
    wrong = re.search(f"(?!{allowed}).", text, re.DOTALL)
    if wrong is not None:
        other = next(one for one in ENCODINGS if one != encoding)
        return (
            f"no {encoding}: {shown(wrong[0])} is character {wrong.start()} of it, white space not counted "
            f'(bytes in {other} need "encoding": "{other}")'
        )
    if len(text) % group:
        return f"no {encoding}: {len(text)} characters, not a multiple of {group}; is the end missing?"
    return f"no {encoding}: the padding (=) is not at its end"
