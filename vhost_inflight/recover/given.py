"""What the oracle is given: the bytes of one queue's region and of its ring, read from JSON and checked.

Only the form is checked here. Whether the bytes can be those of a region is for the reference to judge.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator

from refimpl.choices import Choices
from refimpl.errors import InflightError
from refimpl.packed.ring import EVENT_BYTES

__all__ = ["FORMAT", "SCHEMAS", "Given", "GivenError", "load", "parse", "schema"]

FORMAT: Final = "vhost-inflight state 1"
"""What an input says that it is."""

SCHEMAS: Final[Mapping[str, str]] = {"input": "state.schema.json", "output": "recovery.schema.json"}
"""The JSON Schemas that are shipped, and their files."""

_EVENT_AREAS: Final = ("driver_event", "device_event")


class GivenError(InflightError):
    """An input is no state. Raised by `load` and `parse`, with the place in it, before anything is run."""


@dataclass(frozen=True)
class Given:
    """The contents of an input.

    ``queue_size`` is the number of the ring's entries, ``region_size`` that of the region's. ``region`` are the
    region's bytes, ``parts`` those of each part of the ring by its name ("descriptors" ...), ``pieces`` pieces of the
    guest's memory by their guest address.
    """

    choices: Choices
    queue_size: int
    region_size: int
    region: bytes
    parts: Mapping[str, bytes]
    pieces: tuple[tuple[int, bytes], ...]

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
    text = files("vhost_inflight.recover").joinpath(SCHEMAS[name]).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def load(text: bytes, revision: str | None = None, gaps: Mapping[str, str] | None = None) -> Given:
    """Read an input: JSON in UTF-8. Raises GivenError for what is no JSON, and as `parse` does."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GivenError(f"the input is no JSON: {error}") from error
    return parse(document, revision, gaps)


def parse(document: Any, revision: str | None = None, gaps: Mapping[str, str] | None = None) -> Given:
    """Check the contents of an input and give them a form; ``revision`` and ``gaps`` win over what they say.

    Raises GivenError, naming the place, and UsageError for a revision, a gap or a choice that does not exist or is not
    open.
    """
    validator = Draft202012Validator(schema("input"))
    error = next(iter(sorted(validator.iter_errors(document), key=lambda e: list(map(str, e.path)))), None)
    if error is not None:
        raise GivenError(f"at {_place(error.absolute_path)}: {_shortened(error.message)}")
    chosen = {**document.get("gaps", {}), **(gaps or {})}
    encoding = document.get("encoding", "hex")
    size = int(document["queue_size"])
    told = document["ring_memory"]
    parts = {name: _bytes(encoding, text, f"ring_memory.{name}") for name, text in told.items()}
    if document["ring"] == "packed":
        parts = {**dict.fromkeys(_EVENT_AREAS, bytes(EVENT_BYTES)), **parts}  # recovery reads neither
    pieces = tuple(
        (int(piece["address"]), _bytes(encoding, piece["bytes"], f"memory[{number}].bytes"))
        for number, piece in enumerate(document.get("memory", ()))
    )
    return Given(
        choices=Choices.from_mapping(chosen, revision or document.get("revision", "merged"), document["ring"]),
        queue_size=size,
        region_size=int(document.get("region_size", size)),
        region=_bytes(encoding, document["region"], "region"),
        parts=parts,
        pieces=pieces,
    )


def _bytes(encoding: str, text: str, place: str) -> bytes:
    """Return the bytes that a string stands for; white space is left out. Raises GivenError, naming the place."""
    text = "".join(text.split())
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise GivenError(f"at {place}: no {encoding}: {error}") from error


def _place(path: Iterable[str | int]) -> str:
    """Write a place in a document."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "the top"


def _shortened(message: str) -> str:
    """Cut the value out of the middle of a message that quotes a long one."""
    return message if len(message) <= 200 else f"{message[:120]} ... {message[-60:]}"
