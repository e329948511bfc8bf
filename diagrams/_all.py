"""All pictures: their names, and how they get to the disk and are compared with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from diagrams._regions import region_layout
from diagrams._render import render
from diagrams._states import procedures, states
from diagrams._timeline import timeline
from model import layout, protocol

__all__ = ["check", "counterexample", "draw", "errata", "erratum", "names", "write"]

_REVISION = "merged"
"""The revision that is drawn, with what the one before it lacks marked; of `hardened`, only what differs."""

_ERRATA = files("proofs") / "recorded" / "packed" / "errata"
"""The runs of docs/errata.md, as schedule files."""


def _pictures() -> Mapping[str, Callable[[], str]]:
    """Give all pictures by name, as functions that give DOT."""
    pictures: dict[str, Callable[[], str]] = {}
    for ring in layout.RINGS:
        pictures[f"{ring}-region"] = partial(region_layout, ring)
    for ring in protocol.RINGS:
        for procedure in procedures(ring, _REVISION):
            pictures[f"{ring}-{procedure}"] = partial(states, ring, _REVISION, procedure)
    pictures["split-v6-order"] = partial(_counterexample, "split", "v6", "order")
    pictures["packed-recover-hardened"] = partial(states, "packed", "hardened", "recover")
    for name in errata():
        pictures[f"packed-{name}"] = partial(_erratum, name)
    return dict(sorted(pictures.items()))


def _counterexample(ring: str, revision: str, judged: str) -> str:
    return timeline(counterexample(ring, revision, judged))


def _erratum(name: str) -> str:
    return timeline(erratum(name))


def names() -> tuple[str, ...]:
    """Give the names of all pictures, sorted."""
    return tuple(_pictures())


def draw(name: str) -> str:
    """Draw one picture as DOT; raise `KeyError` if there is none of that name."""
    return _pictures()[name]()


def write(out: Path, *, render: bool = True) -> list[Path]:
    """Write every picture into the directory `out`: NAME.dot and, unless `render` is false, NAME.svg.

    Give the paths that were written, sorted. Raise `RenderError` where no Graphviz is installed, and `OSError` as
    writing does.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in _pictures().items():
        dot = picture()
        written.append(_put(out / f"{name}.dot", dot.encode()))
        if render:
            written.append(_put(out / f"{name}.svg", _rendered(dot)))
    return sorted(written)


_rendered = render


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def check(out: Path) -> list[str]:
    """Name, sorted, the DOT files in `out` that differ from what the tables give, are missing, or are of no table."""
    wanted = {f"{name}.dot": picture for name, picture in _pictures().items()}
    found = {path.name for path in out.glob("*.dot")}
    stale = {name for name in wanted.keys() & found if (out / name).read_text(encoding="utf-8") != wanted[name]()}
    return sorted(stale | (wanted.keys() ^ found))


def errata() -> tuple[str, ...]:
    """Name the runs that show the defects of the packed ring's text, sorted."""
    return tuple(sorted(p.name.removesuffix(".json") for p in _ERRATA.iterdir() if p.name.endswith(".json")))


def erratum(name: str) -> dict[str, Any]:
    """Give one of those runs, a schedule file's contents; raise `OSError` if there is none of that name."""
    return dict(json.loads((_ERRATA / f"{name}.json").read_text(encoding="utf-8")))


def counterexample(ring: str, revision: str, judged: str) -> dict[str, Any]:
    """Give the recorded run that violates a property under the defaults; raise `LookupError` if there is none."""
    path = files("proofs") / "recorded" / ring / "counterexamples" / f"{revision}-{judged}.json"
    if not path.is_file():
        raise LookupError(f"no violation of {judged} is recorded for {ring} {revision}")
    return dict(json.loads(path.read_text(encoding="utf-8")))
