"""States that real back-ends left, with the model's answer: `seen.jsonl` has the bytes, and who left them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any

from vhost_inflight.vectors.form import Given, Vector
from vhost_inflight.vectors.states import outcomes, vector_of

__all__ = ["seen_vectors"]


def seen_vectors(ring: str, revision: str) -> Iterator[Vector]:
    """Give the vectors of a ring."""
    text = files("vhost_inflight.vectors").joinpath("seen.jsonl").read_text(encoding="utf-8")
    for line in text.splitlines():
        told: dict[str, Any] = json.loads(line)
        if told["state"]["ring"] == ring:
            yield _vector(told, revision)


def _vector(told: dict[str, Any], revision: str) -> Vector:
    state = told["state"]
    ring = state["ring"]
    used = bytes.fromhex(state["ring_memory"]["used"])[2:4] if ring == "split" else b""
    base = int.from_bytes(used, "little") if ring == "split" else 0x80008000
    given = Given.of({**state, "revision": revision, "base": base, "stride": len(state["region"]) // 2, "offset": 0})
    vector = vector_of(f"{ring}-{revision}-seen-{told['name']}", given, None, ("seen",))
    vector = replace(vector, kind="seen", note=told["note"], severity=told["severity"])
    return replace(vector, outcomes=outcomes(vector))
