"""The command check-vectors: exit 0 where every vector passes, 1 where one does not."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from refimpl.documents import STDIO
from refimpl.errors import InflightError, UsageError
from vhost_inflight.telling import Ending, write_json
from vhost_inflight.vectors import form
from vhost_inflight.vectors.checking.asking import Checked, check
from vhost_inflight.vectors.checking.compare import Verdict
from vhost_inflight.vectors.checking.process import FORMS
from vhost_inflight.vectors.checking.report import as_json, as_junit, bad_lines, lines
from vhost_inflight.vectors.form import Vector

__all__ = ["chosen", "run"]

_TOLD: Final = 20
_FILE: Final = "vectors.jsonl"


def run(
    command: str,
    *,
    vectors: Path | None = None,
    only: Sequence[str] = (),
    message_form: str = "json",
    limit: float = 10,
    junit: Path | None = None,
    json_file: Path | None = None,
) -> bool:
    """Put vectors to a program, say what came of it, and write reports.

    ``vectors`` is a file or the folder that `vectors --out` wrote, None the small set that is shipped; ``only`` are
    patterns of ids. Returns whether all passed, or were unsupported. Raises UsageError for a command that is none,
    vectors that are none, and when nothing was checked; AdapterError when the program cannot be asked.
    """
    words = _words(command)
    if message_form not in FORMS:
        raise UsageError(f"--form {message_form}: there is {' and '.join(FORMS)}")
    if limit <= 0:
        raise UsageError(f"--limit {limit:g}: a case needs some time")
    asked = chosen(vectors, only)
    with Ending().heard():  # a SIGTERM too leaves no adapter behind
        checked = _with_a_bar(words, asked, message_form, limit)
    checked.source = vectors
    if json_file != STDIO:
        print("\n".join(_told(checked)))
    if json_file is not None:
        write_json(json_file, as_json(checked, words, message_form))
    if junit is not None:
        junit.write_text(as_junit(checked), encoding="utf-8")
    if checked.count("unsupported") == len(checked.verdicts):
        raise UsageError(f"nothing was checked: {checked.ready.name} has an answer to none of the vectors")
    return not checked.bad and checked.ending is None


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--cmd {command!r}: {error}") from error
    if not words:
        raise UsageError("--cmd is empty: it has to be the command that starts the adapter")
    return words


def chosen(source: Path | None, only: Sequence[str]) -> list[Vector]:
    """Give the vectors of a file or a folder whose ids match one of the patterns (all, where there is none).

    Raises UsageError where there are none, and for what is no vector; OSError for a file that cannot be read.
    """
    file = _small() if source is None else source / _FILE if source.is_dir() else source
    found = [vector for vector in _read(file) if not only or any(fnmatchcase(vector.id, one) for one in only)]
    if not found:
        raise UsageError(f"{file}: no vector's id matches {', '.join(only)}" if only else f"{file} has no vectors")
    return found


def _small() -> Path:
    return Path(form.__file__).parent / "small" / _FILE


def _read(file: Path) -> Iterator[Vector]:
    """Read a file of vectors; what is wrong with one is told with its line."""
    with file.open(encoding="utf-8") as content:
        for number, line in enumerate(content, 1):
            if not line.strip():
                continue
            try:
                yield form.load(line)[0]
            except (ValueError, LookupError, TypeError, AttributeError, InflightError) as error:
                told = "no JSON" if isinstance(error, json.JSONDecodeError) else "no vector"
                raise UsageError(f"{file}, line {number}: {told} ({error})") from error


def _with_a_bar(words: Sequence[str], vectors: Sequence[Vector], message_form: str, limit: float) -> Checked:
    """Check, with a progress bar on a terminal."""
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    terminal = Console(stderr=True)
    with Progress(console=terminal, disable=not terminal.is_terminal, transient=True) as bar:
        task = bar.add_task("asking", total=len(vectors))

        def told(verdict: Verdict) -> None:
            bar.update(task, advance=1)
            if verdict.bad and terminal.is_terminal:
                bar.console.print(f"{verdict.word}: {verdict.vector.id}", markup=False, highlight=False)

        return check(words, vectors, message_form, limit, told)


def _told(checked: Checked) -> Iterator[str]:
    bad = checked.bad
    for verdict in bad[:_TOLD]:
        yield from bad_lines(verdict, checked.source)
        yield ""
    if len(bad) > _TOLD:
        yield f"and {len(bad) - _TOLD} more that do not pass: --json and --junit have all of them"
        yield ""
    yield from lines(checked)
