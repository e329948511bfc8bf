"""A test vector by its id, as a state: what the command that each vector carries asks about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from refimpl.errors import UsageError

__all__ = ["STATE", "Named", "cut", "found", "named", "state"]

STATE: Final = ("format", "ring", "revision", "queue_size", "region_size", "region", "ring_memory", "memory", "base",
                "stopped")  # fmt: skip
"""What a state has of what a vector gives; the rest is what the front-end says besides."""


class Named(NamedTuple):
    """The id of a vector, of a file that `vhost-inflight vectors` wrote, or of the small set, which is shipped."""

    name: str
    vectors: Path | None


def named(file: Path, vectors: Path | None) -> Named | None:
    """Return the vector that is meant by what is no file, None where a file is.

    ``vectors`` is a file of vectors, or a folder that has one. Raises UsageError for what is called as a recorded run.
    """
    if vectors is not None:
        return Named(str(file), _file(vectors))
    if file.exists() or file.suffix == ".json":
        return None
    if file.parts[0] in ("split", "packed") and len(file.parts) > 1:
        raise UsageError(
            f"there is no file {file}; of a recorded run of that name: vhost-inflight replay {file} --dump-at crash "
            "writes what recover reads"
        )
    return Named(str(file), None) if file.name.startswith(("split-", "packed-")) else None


def _file(vectors: Path) -> Path:
    return vectors / "vectors.jsonl" if vectors.is_dir() else vectors


def state(wanted: Named) -> dict[str, Any]:
    """Return what a vector gives, as a state; of a life that is what it begins with. Raises as `found` does."""
    return cut(found(wanted))


def cut(vector: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a vector gives, as a state."""
    return {field: vector["given"][field] for field in STATE if field in vector["given"]}


def found(wanted: Named) -> dict[str, Any]:
    """Return a vector.

    Raises UsageError where there is no such vector, or the file is none of vectors; OSError where it cannot be read.
    """
    import difflib  # noqa: PLC0415  # they take long to import, and a file needs neither
    from importlib.resources import files  # noqa: PLC0415  # likewise

    name, vectors = wanted
    shipped = files("vhost_inflight").joinpath("vectors", "small", "vectors.jsonl")
    names = []
    with shipped.open(encoding="utf-8") if vectors is None else vectors.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                vector: dict[str, Any] = json.loads(line)
                names.append(vector["id"])
                if vector["id"] == name:
                    return vector
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(f"{vectors}: a line is no vector: {line[:40].strip()!r}") from error
    near = difflib.get_close_matches(name, names, n=3)
    where = f"in {vectors}" if vectors else "in the small set; those of others: --vectors DIR/vectors.jsonl"
    meant = f"; perhaps: {', '.join(near)}" if near else ""
    raise UsageError(f"there is no vector {name[:80]!r} {where}{meant}")
