"""The vectors of a set by their ids: what `list vectors` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from refimpl.errors import UsageError
from vhost_inflight.telling import STDIO, write_json

__all__ = ["run"]


def run(vectors: Path | None = None, json_file: Path | None = None) -> None:
    """List the vectors of a file, or of the small set: a line each, its id, its kind and what it catches.

    Raises UsageError for a file that is none of vectors, OSError where it cannot be read.
    """
    told = list(_told(vectors))
    if json_file is not None:
        write_json(json_file, told)
    if json_file != STDIO:
        width = max((len(one["id"]) for one in told), default=0)
        for one in told:
            print(f"{one['id']:<{width}}  {one['kind']}, {one['severity']}: {one['note'].partition('.')[0]}")


def _told(vectors: Path | None) -> Iterator[dict[str, Any]]:
    """Give of each vector what it is about."""
    shipped = files("vhost_inflight").joinpath("vectors", "small", "vectors.jsonl")
    with shipped.open(encoding="utf-8") if vectors is None else vectors.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                vector = json.loads(line)
                given = vector["given"]
                about = {name: vector[name] for name in ("id", "kind", "section", "step", "flags", "note", "severity")}
                yield about | {"ring": given["ring"], "revision": given["revision"]}
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(f"{vectors}: a line is no vector: {line[:40].strip()!r}") from error
