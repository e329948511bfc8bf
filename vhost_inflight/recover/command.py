"""The command ``recover``: bytes in, what a new back-end makes of them out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from refimpl.errors import UsageError
from vhost_inflight.recover.answer import answer
from vhost_inflight.recover.given import SCHEMAS, load, schema
from vhost_inflight.recover.record import recover
from vhost_inflight.recover.story import story

__all__ = ["run", "show_schema"]

_STDOUT: Final = Path("-")


def run(
    *,
    revision: str | None = None,
    gaps: Mapping[str, str] | None = None,
    explain: bool = False,
    json_file: Path | None = None,
) -> bool:
    """Read a state from standard input, recover, and write the answer; return False if the bytes break a rule.

    The answer goes to standard output, or to ``json_file``; with ``explain`` the story goes to standard output instead.
    Of bytes that break a rule the rule and the culprit are told on standard error too. Raises GivenError and UsageError
    for an input that is none.
    """
    if explain and json_file == _STDOUT:
        raise UsageError("--explain and --json - both want standard output")
    recovery = recover(load(sys.stdin.buffer.read(), revision, gaps))
    refused = recovery.refused
    if explain:
        print(story(recovery))
    if json_file is not None and json_file != _STDOUT:
        json_file.write_text(_text(answer(recovery)), encoding="utf-8")
    elif json_file == _STDOUT or not (explain or refused):
        sys.stdout.write(_text(answer(recovery)))
    if refused is not None:
        print(f"vhost-inflight: {refused}", file=sys.stderr)
    return refused is None


def show_schema(name: str) -> None:
    """Print a JSON Schema, of the input or of the output. Raises UsageError for another name."""
    if name not in SCHEMAS:
        raise UsageError(f"there is no schema {name!r}; there are {', '.join(SCHEMAS)}")
    sys.stdout.write(_text(schema(name)))


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
