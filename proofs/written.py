"""What `verify` leaves in files once it has printed its answer: counterexamples, and the answer as JSON.

The answer stands whether or not it can be written: what cannot is a warning.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from proofs.verdicts import Judged, recorded_folder

__all__ = ["FOLDER", "counterexamples", "unwritable_is_a_warning", "write"]

FOLDER = Path("counterexamples")
"""Where a counterexample that is not in the record is written, if nothing else is said."""


def counterexamples(judged: Sequence[Judged], out: Path | None) -> list[Path | None]:
    """Write the counterexamples; give the file of each verdict that has one and could be written, None for the others.

    All of them go to `out`; without it, those in the record stay where they are, and the others go to `FOLDER`.
    """
    files: list[Path | None] = []
    texts: dict[Path, str] = {}
    for one in judged:
        source = recorded_folder(one.now.ring) / one.now.counterexample if one.now.counterexample else None
        if one.found:
            files.append(_place(one.now.ring, one.found.file_name(), out))
            texts[_place(one.now.ring, one.found.file_name(), out)] = json.dumps(one.found.json()) + "\n"
        elif source and out:
            files.append(_place(one.now.ring, source.name, out))
            texts[_place(one.now.ring, source.name, out)] = source.read_text(encoding="utf-8")
        else:
            files.append(source)
    missing = texts.keys() - write(texts)
    return [None if path in missing else path for path in files]


def _place(ring: str, name: str, out: Path | None) -> Path:
    """Say where a counterexample is written to: those of both rings go to one folder."""
    return (out or FOLDER) / (name if ring == "split" else f"{ring}-{name}")


def write(texts: Mapping[Path, str]) -> set[Path]:
    """Write files, with their folders, up to one that cannot be written, which is said; give those that were."""
    written: set[Path] = set()
    with unwritable_is_a_warning():
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.add(path)
    return written


@contextmanager
def unwritable_is_a_warning() -> Iterator[None]:
    """Say what cannot be written, and go on; nobody who reads any more is another matter."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"warning: {error.filename} cannot be written: {error.strerror or error}", file=sys.stderr)
