"""``python -m proofs.orders [check | record | page] [RING]``: which memory orders a back-end needs, and why.

``check`` plays the record again (seconds; exit 1 where it does not hold); ``record`` searches anew and writes the
record (half an hour); ``page`` writes docs/orders-memory.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from model import protocol
from proofs.orders.answers import load
from proofs.orders.checking import check
from proofs.orders.page import PAGE, page
from proofs.orders.searching import record

__all__ = ["main"]

COMMANDS = ("check", "record", "page")


def main(arguments: list[str]) -> int:
    """Run the command that the arguments name; return the exit code."""
    command, *rings = arguments or ["check"]
    if command not in COMMANDS or not set(rings) <= set(protocol.RINGS):
        told = f"usage: python -m proofs.orders [{' | '.join(COMMANDS)}] [{' | '.join(protocol.RINGS)}]"
        print(told, file=sys.stderr)
        return 2
    if command == "page":
        Path(PAGE).write_text(page(), encoding="utf-8")
        return 0
    wrong = False
    for ring in rings or protocol.RINGS:
        if command == "record":
            record(ring, lambda line: print(line, flush=True))
        checked = check(ring, load(ring)[1])
        print(
            f"{ring}: {checked.needed} orders are needed, each by a run that was played again",
            *checked.faults,
            sep="\n  ",
        )
        wrong |= bool(checked.faults)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
