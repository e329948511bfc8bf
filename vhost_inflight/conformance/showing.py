"""Shows a case that `conformance --case` wrote: the command ``replay`` of such a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from refimpl.documents import STDIO, DocumentError, read_document
from refimpl.errors import InflightError, UsageError
from vhost_inflight.conformance.lives import CASE_FORMAT, case_text
from vhost_inflight.recover.asking import Question, stories
from vhost_inflight.reports import shipped_schema
from vhost_inflight.telling import printable, write_json

__all__ = ["CaseError", "as_found", "is_case", "load", "run"]


class CaseError(InflightError):
    """A file is no case of `conformance`. Raised by `load`, which says what is wrong with it."""


def is_case(file: Path) -> bool:
    """Return whether a file says that it is a case of `conformance`; what cannot be read is none."""
    try:
        document = read_document(file) if file.is_file() else None
    except (DocumentError, OSError):
        return False  # who reads it as something else says what is wrong with it
    return isinstance(document, dict) and document.get("format") == CASE_FORMAT


def load(file: Path) -> dict[str, Any]:
    """Return the document of a file. Raises CaseError, DocumentError and OSError for what is none."""
    document: Any = read_document(file)
    try:
        Draft202012Validator(shipped_schema("vhost_inflight.conformance", "case")).validate(document)
    except ValidationError as error:
        where = "/".join(map(str, error.absolute_path))
        raise CaseError(f"{file} is no case: {f'{where}: ' if where else ''}{error.message[:200]}") from error
    told: dict[str, Any] = document
    return told


def as_found(text: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a case, and the options that it is tried with: ``text`` is the name, or a file's.

    A file's are those that it was found with; those that were ``given``, the others None, must not contradict it.
    Raises UsageError where one does, and as `load` does.
    """
    file = Path(text)
    if file.suffix != ".json" and not file.is_file():
        return text, dict(given)
    document = load(file)
    name, found = str(document["case"]), {"revision": document["revision"], **document.get("options", {})}
    for option, value in given.items():
        if value is not None and found.get(option, value) != value:
            raise UsageError(
                f"{file} was found {_with(option, found[option])}, not {_with(option, value)}: "
                f"to try its case otherwise, name it (--at {name})"
            )
    return name, {**given, **found}


def _with(option: str, value: str | float | bool | None) -> str:
    """Say that an option was there or not, as a command line has it."""
    word = {"successor": "--successor-cmd"}.get(option, f"--{option.replace('_', '-')}")
    if value is None or isinstance(value, bool):
        return f"with {word}" if value else f"without {word}"
    return f"with {word} {value}"


def run(file: Path, dump_at: str | None = None, json_file: Path | None = None) -> bool:
    """Print a case, and what has to be made of the memory that its last death left; return True: it was shown.

    ``dump_at``: write that memory instead, for `recover`; *crash* alone is known. Raises as `load` does.
    """
    document = load(file)
    if dump_at is not None:
        if dump_at != "crash" or document["state"] is None:
            raise UsageError(
                "of a case of conformance, --dump-at crash alone is known, where there was a region by then"
            )
        write_json(json_file or STDIO, document["state"])
        return True
    if json_file is not None:
        write_json(json_file, document)
    if json_file != STDIO:
        for line in case_text(document):
            print(printable(line))
        if document["state"] is not None:
            print("\nWhat has to be made of the memory that the last death left (queue 0):\n")
            print(stories(Question().ask(document["state"])))
    return True
