"""All pictures: their names, and how they get to the disk and are compared with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from diagrams._flow import procedures
from diagrams._regions import region_layout
from diagrams._render import render
from diagrams._slides import pieces, slides
from diagrams._states import states
from diagrams._timeline import rows_of, timeline
from model import layout, protocol

__all__ = ["check", "counterexample", "draw", "errata", "erratum", "names", "write"]

_REVISION = "merged"
"""The revision that is drawn, with what the one before it lacks marked; of `hardened`, only what differs."""

_ERRATA = files("proofs") / "recorded" / "packed" / "errata"
"""The runs of docs/errata.md, as schedule files."""


_LONG = 20
"""Rows: a run of more has a second picture, of its end."""

_LAST = 15
"""Rows of such a picture: what fits a slide."""


@cache
def _pictures() -> Mapping[str, Callable[[], str]]:
    """Give all pictures by name, as functions that give DOT."""
    pictures: dict[str, Callable[[], str]] = {}
    for ring in layout.RINGS:
        pictures[f"{ring}-region"] = partial(region_layout, ring)
        for place, revision in enumerate(layout.REVISIONS, start=1):
            pictures[f"{ring}-region-slide-{place}"] = partial(region_layout, ring, [revision])
    for ring in protocol.RINGS:
        for procedure in procedures(ring, _REVISION):
            pictures |= _procedure(f"{ring}-{procedure}", ring, _REVISION, procedure)
    pictures |= _procedure("packed-recover-hardened", "packed", "hardened", "recover")
    pictures |= _run("split-v6-order", counterexample("split", "v6", "order"))
    for name in errata():
        pictures |= _run(f"packed-{name}", erratum(name))
    return dict(sorted(pictures.items()))


def _procedure(name: str, ring: str, revision: str, procedure: str) -> Mapping[str, Callable[[], str]]:
    """Give the pictures of a procedure: the whole, and its slides by number, from 1."""
    drawn: dict[str, Callable[[], str]] = {name: partial(states, ring, revision, procedure)}
    for place in range(pieces(ring, procedure)):
        drawn[f"{name}-slide-{place + 1}"] = partial(_slide, ring, revision, procedure, place)
    return drawn


def _slide(ring: str, revision: str, procedure: str, place: int) -> str:
    return slides(ring, revision, procedure)[place]


def _run(name: str, schedule: Mapping[str, Any]) -> Mapping[str, Callable[[], str]]:
    """Give the pictures of a run: the whole, and its end where it is long."""
    drawn: dict[str, Callable[[], str]] = {name: partial(timeline, schedule)}
    if rows_of(schedule) > _LONG:
        drawn[f"{name}-end"] = partial(timeline, schedule, _LAST)
    return drawn


def names() -> tuple[str, ...]:
    """Give the names of all pictures, sorted."""
    return tuple(_pictures())


@cache
def draw(name: str) -> str:
    """Draw one picture as DOT, once; raise `KeyError` if there is none of that name."""
    return _pictures()[name]()


def write(out: Path, *, render: bool = True) -> list[Path]:
    """Write every picture into the directory `out`: NAME.dot and, unless `render` is false, NAME.svg.

    Give the paths that were written, sorted. Raise `RenderError` where no Graphviz is installed, and `OSError` as
    writing does.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names():
        dot = draw(name)
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
    wanted = {f"{name}.dot": name for name in names()}
    found = {path.name for path in out.glob("*.dot")}
    stale = {name for name in wanted.keys() & found if (out / name).read_text(encoding="utf-8") != draw(wanted[name])}
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
