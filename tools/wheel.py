"""Check that a wheel ships what it should: ``python -m tools.wheel FILE``; exit 1 if not."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["main", "missing"]

SUFFIXES = (".py", ".json", ".jsonl", ".c", ".h", ".rs", ".go")
PACKAGES = ("vhost_inflight", "model", "proofs", "refimpl", "diagrams")


def shipped(root: Path) -> set[str]:
    """Give the files of the packages that have to be in the wheel: the code, and the files that it reads or prints."""
    files = (p for package in PACKAGES for p in (root / package).rglob("*") if p.suffix in SUFFIXES)
    return {str(p.relative_to(root)) for p in files}


def missing(names: Iterable[str], root: Path) -> list[str]:
    """Say what a wheel of these names lacks, and what it has that is not ours to ship."""
    names = {name for name in names if ".dist-info/" not in name}
    lacks = [f"lacks {name}" for name in sorted(shipped(root) - names)]
    alien = [f"ships {name}" for name in sorted(names) if name.split("/")[0] not in PACKAGES]
    return lacks + alien


def main() -> int:
    """Check the wheel named on the command line against the working directory; return the exit code."""
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        names = wheel.namelist()
    found = missing(names, Path.cwd())
    for line in found:
        print(f"{sys.argv[1]} {line}", file=sys.stderr)
    print(f"wheel: {len(names)} files, {len(found)} wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
