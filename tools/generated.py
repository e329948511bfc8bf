"""Compare what is generated with what the model and the record give now: ``python -m tools.generated [--write]``.

Pictures in docs/diagrams are compared as DOT; of the documents, the parts between comments (`tools.pages`). Exit 1 if
something differs. ``--write`` writes the parts of the documents anew; pictures are written by ``make docs``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import diagrams
from tools.pages import PAGES, filled

__all__ = ["main", "stale_pages", "write_pages"]


def stale_pages(root: Path) -> list[str]:
    """Name the documents below `root` in which a generated part is not as it should be."""
    return [page for page in PAGES if filled(text := (root / page).read_text(encoding="utf-8")) != text]


def write_pages(root: Path) -> None:
    """Write the generated parts of the documents below `root` anew."""
    for page in PAGES:
        text = (root / page).read_text(encoding="utf-8")
        (root / page).write_text(filled(text), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Name each picture and document that has been left behind; return the exit code."""
    if "--write" in (sys.argv[1:] if arguments is None else arguments):
        write_pages(Path())
    pictures, pages = diagrams.check(Path("docs/diagrams")), stale_pages(Path())
    for name in pictures:
        print(f"{name} is not what the tables give; run `make docs`", file=sys.stderr)
    for name in pages:
        print(f"{name} is not what the record gives; run `python -m tools.generated --write`", file=sys.stderr)
    print(f"docs/diagrams: {'stale' if pictures else 'up to date'}; documents: {'stale' if pages else 'up to date'}")
    return 1 if pictures or pages else 0


if __name__ == "__main__":
    sys.exit(main())
