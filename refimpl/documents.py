"""JSON from outside, read strictly: what two readers could take for different things is refused.

A schedule, a state, a document of any kind comes from a file or a pipe that anybody may have written. What Python's
reader takes without a word is refused here: a key that is there twice (the last would win), a number that is none
(NaN, Infinity), nesting that takes the stack, more bytes than any document of ours has.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from refimpl.errors import InflightError, UsageError

STDIO: Final = Path("-")
"""The name that stands for standard input, or output."""

_BYTES_MAX: Final = 64 << 20
_DEPTH_MAX: Final = 100
_DIGITS_MAX: Final = 100


class DocumentError(InflightError):
    """What was read is no JSON, or JSON that is not read: the text says why, and of which file."""


def read_document(path: Path) -> Any:
    """Return what the JSON of a file says; ``-`` is standard input.

    Raises DocumentError, which names the file, as `read_json` does; OSError when the file cannot be read.
    """
    name = "standard input" if path == STDIO else os.fspath(path)
    if path == STDIO:
        content = _some_of(sys.stdin.buffer)
    else:
        with path.open("rb") as file:
            content = _some_of(file)
    try:
        return read_json(content)
    except DocumentError as error:
        raise DocumentError(f"{name}: {error}") from error


def read_json(content: bytes) -> Any:
    """Return what JSON says, in UTF-8 (UTF-16 and UTF-32 are known by their first bytes).

    Raises DocumentError for what is no JSON or says something twice, for a number that is none or has more than 100
    digits, for more than 100 levels, and for more than 64 MiB.
    """
    if len(content) > _BYTES_MAX:
        raise DocumentError(f"more than {_BYTES_MAX >> 20} MiB: no document of this program is as long")
    if not content.strip():
        raise DocumentError("no JSON: it is empty")
    try:
        document = json.loads(content, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_integer)
    except RecursionError as error:
        raise DocumentError(_TOO_DEEP) from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"no JSON: byte {error.start} is no {error.encoding} text") from error
    except json.JSONDecodeError as error:
        raise DocumentError(f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    _check_depth(document)
    return document


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, each as soon as it is there; of one that is too long its beginning, still too long."""
    while line := file.readline(_BYTES_MAX + 1):
        yield line
        while len(line) > _BYTES_MAX and not line.endswith(b"\n"):
            line = file.readline(_BYTES_MAX + 1)


def _some_of(file: BinaryIO) -> bytes:
    """Return the bytes of a file, not many more than are allowed: it may be a device that has no end."""
    return file.read(_BYTES_MAX + 1)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys are there once each."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise DocumentError(f"the key {shown(name)} is there twice in one object: which of the two is meant?")
        found[name] = value
    return found


def _no_number(name: str) -> NoReturn:
    raise DocumentError(f"{name} is no number of JSON")


def _integer(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise DocumentError(f"a number of {len(text)} digits")
    return int(text)


_TOO_DEEP: Final = f"nested more than {_DEPTH_MAX} levels deep: no document of this program is"


def _check_depth(document: Any) -> None:
    """Refuse what a later reader that calls itself could not follow."""
    level = [document]
    for _ in range(_DEPTH_MAX):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        if not inner:
            return
        level = inner
    raise DocumentError(_TOO_DEEP)


def number(text: str, bits: int) -> int:
    """Return the number of so many bits that somebody typed, in hexadecimal with 0x. Raises UsageError."""
    base = 16 if re.fullmatch("0x[0-9a-f]{1,16}", text, re.IGNORECASE) else 10
    if (base == 10 and not re.fullmatch("[0-9]{1,20}", text)) or int(text, base) >> bits:
        raise UsageError(f"a number of {bits} bits is wanted, such as 0x7f001000, not {text!r}")
    return int(text, base)


def shown(value: Any) -> str:
    """Write a value as JSON has it, for a message: the middle of a long one is left out."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:40]} ... {text[-10:]}"
