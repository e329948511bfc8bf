"""The command ``mend``: a patch of the reader's own copy of the specification's text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from model import protocol
from model.proposal import Mend
from vhost_inflight.mend.patch import missing, series, split_lines

__all__ = ["run"]


def run(file: Path, only: Sequence[str] = ()) -> int:
    """Print the patch of a file, for some mends or for all; return 0, or 2 where it is not shaped as expected.

    A patch is printed whole or not at all: the places that were not found are named on standard error, all of them.
    """
    try:
        text = file.read_bytes().decode("utf-8")
        name = _name(file)
    except ValueError as error:
        return _refuse(f"{file}: {error}")
    chosen, lines = _chosen(only), split_lines(text)
    if lacking := missing(lines, chosen):
        for line in lacking:
            _tell(f"{file}: {line}")
        return _refuse(f"{file} is not shaped as the specification's chapter is: nothing is printed")
    made = list(series(lines, chosen, name))
    sys.stdout.buffer.write("".join(f"{mend.name}: {mend.about}\n{diff}" for mend, diff in made if diff).encode())
    sys.stdout.flush()
    _report(file, chosen, only, [mend.name for mend, diff in made if not diff])
    return 0


def _chosen(only: Sequence[str]) -> list[Mend]:
    """Give the mends to make, in the order in which each may be the last, with those that they need."""
    mends = protocol.mends()
    wanted = {*only, *(need for name in only for need in mends[name].needs)} if only else set(mends)
    return [mend for mend in mends.values() if mend.name in wanted]


def _name(file: Path) -> str:
    """Give the file's name for a patch: from the root of its work tree, or from here; raise `ValueError` for none."""
    path = file.resolve()
    root = next((folder for folder in path.parents if (folder / ".git").exists()), Path.cwd())
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    if not name.isprintable() or name != name.strip():
        raise ValueError("a patch cannot name this file")
    return f"{name}\t" if " " in name else name


def _report(file: Path, chosen: Sequence[Mend], only: Sequence[str], there: Sequence[str]) -> None:
    """Say on standard error what the patch is, so that it can be piped on."""
    for mend in chosen:
        if only and mend.name not in only:
            needing = ", ".join(m.name for m in chosen if mend.name in m.needs)
            _tell(f"{mend.name} comes with {needing}, which does harm without it")
    if there:
        _tell(f"{file} has already: {', '.join(there)}")
    if len(there) < len(chosen):
        made = len(chosen) - len(there)
        apply = "1 mend, one diff" if made == 1 else f"{made} mends, one diff each, in an order in which they apply"
        _tell(apply)
        _tell("words to judge and to write anew, not to sign unread: see docs/contributing-upstream.md")


def _tell(line: str) -> None:
    print(f"vhost-inflight: {line}", file=sys.stderr)


def _refuse(line: str) -> int:
    _tell(line)
    return 2
