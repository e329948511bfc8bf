"""Options that several commands have, and what is checked of them before any work is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from refimpl.names import no_such
from vhost_inflight.telling import STDIO

__all__ = [
    "Gaps", "JsonFile", "Revision", "Ring", "check", "check_judged", "check_played", "check_revision", "check_ring",
    "ring_of", "writable",
]  # fmt: skip

Ring = Annotated[str | None, typer.Option(help="split or packed (all rings, if left out)")]
Revision = Annotated[str | None, typer.Option(help="v6, merged or hardened (all, if left out)")]
Gaps = Annotated[list[str] | None, typer.Option("--gap", metavar="NAME=CHOICE", help="a choice other than the default")]


def check(what: str, name: str | None, names: Iterable[str]) -> None:
    """Raise BadParameter with the nearest names if there is none such; None stands for all of them."""
    names = list(names)
    if name is not None and name not in names:
        raise typer.BadParameter(no_such(what, name, names))


def check_ring(ring: str | None) -> None:
    """Raise BadParameter for a ring that there is not; None stands for all of them."""
    from model import protocol  # noqa: PLC0415  # a command that asks for none needs none

    check("ring", ring, protocol.RINGS)


def check_revision(revision: str | None) -> None:
    """Raise BadParameter for a revision that there is not; None stands for all of them."""
    from model import protocol  # noqa: PLC0415  # a command that asks for none needs none

    check("revision", revision, dict.fromkeys(v for r in protocol.RINGS for v in protocol.revisions(r)))


def check_judged(revision: str | None, ring: str | None) -> None:
    """Raise BadParameter for what is neither a revision nor the name of a profile; None stands for all revisions."""
    from model import protocol  # noqa: PLC0415  # a command that asks for none needs none

    rings = [ring] if ring else protocol.RINGS
    known = dict.fromkeys(v for r in rings for v in (*protocol.revisions(r), *protocol.profiles(r)))
    check("revision or profile", revision, known)


def ring_of(gaps: Iterable[str], ring: str | None) -> str | None:
    """Give the ring that is asked for, or the one that alone has all of some gaps; BadParameter where none has."""
    from model import protocol  # noqa: PLC0415  # a command that asks for none needs none

    for name in gaps:
        owners = [each for each in protocol.RINGS if name in protocol.judged(each)]
        check("gap", name, [gap for each in protocol.RINGS for gap in protocol.judged(each)])
        if ring is not None and ring not in owners:
            raise typer.BadParameter(f"gap {name} is one of the {owners[0]} ring, not of the {ring} ring")
        if len(owners) == 1:
            ring = owners[0]
    return ring


def check_played(gaps: Mapping[str, str]) -> None:
    """Raise BadParameter for a choice in a gap that the model has and the reference does not play."""
    from model import protocol  # noqa: PLC0415  # a command that asks for none needs none
    from refimpl.choices import GAPS_OF  # noqa: PLC0415  # likewise

    for name, choice in gaps.items():
        owners = [ring for ring in protocol.RINGS if name in protocol.judged(ring)]
        if not owners or any(name in known for known in GAPS_OF.values()):
            continue
        having = [ring for ring in owners if choice in (a.name for a in protocol.judged(ring)[name].alternatives)]
        if not having:
            protocol.judged(owners[-1])[name].alternative(choice)  # it says which there are
        only = f" --ring {having[0]}" if len(having) == 1 else ""
        besides = "; a ring that is stopped: --stop" if name == "stop" else ""
        raise typer.BadParameter(
            f"gap {name} is the model's alone, no process here plays it: `vhost-inflight verify{only} --gap "
            f"{name}={choice}` judges it, and `vhost-inflight replay` plays its runs (`vhost-inflight list`){besides}"
        )


def writable(file: Path | None) -> Path | None:
    """Raise BadParameter for a file that the answer cannot be written to: not after the work, but before it."""
    if file is not None and file != STDIO:
        folder = file.parent
        if file.is_dir() or not folder.is_dir():
            raise typer.BadParameter(f"{file}: a folder" if file.is_dir() else f"{folder}: there is no such folder")
        if not os.access(file if file.exists() else folder, os.W_OK):
            raise typer.BadParameter(f"{file}: it cannot be written")
    return file


JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="write the answer as JSON, too; - is standard output, instead of words",
                 callback=writable),
]  # fmt: skip
