"""Compare docs/diagrams with what the model's tables give now: ``python -m tools.generated``; exit 1 if it differs."""

from __future__ import annotations

import sys
from pathlib import Path

import diagrams

__all__ = ["main"]


def main() -> int:
    """Name each picture whose DOT has been left behind by the tables; return the exit code."""
    stale = diagrams.check(Path("docs/diagrams"))
    for name in stale:
        print(f"{name} is not what the tables give; run `make docs`", file=sys.stderr)
    print(f"docs/diagrams: {'stale' if stale else 'up to date'}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
