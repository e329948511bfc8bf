"""Hold profiles against the programs that they are of: ``python -m tools.follow [PATTERN...]``; exit 1 if one is wrong.

Each back-end of others that was built (``python -m vhost_inflight.conformance.foreign.prepare``), and ours in C, lives
the lives of some cases; what it stored is written to tests/meet/traces, and followed through the profile.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import vhost_inflight.conformance
from model import protocol
from refimpl.choices import Choices
from vhost_inflight.conformance.foreign.prepare import backend_command
from vhost_inflight.conformance.life import Setup
from vhost_inflight.conformance.points import Case
from vhost_inflight.conformance.process import Command
from vhost_inflight.following.follower import follow
from vhost_inflight.following.trace import Trace, record

__all__ = ["FOLDER", "HELD", "OURS", "Held", "main"]

FOLDER: Final = Path(__file__).parent.parent / "tests/meet/traces"

OURS: Final = "c"
"""The back-end in C that is ours."""


@dataclass(frozen=True)
class Held:
    """A case that a profile, or a revision, is held against a back-end in; fields `without` are let pass."""

    back_end: str
    profile: str
    case: str
    without: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What its trace is called."""
        return f"{self.back_end}-{self.case}"

    @property
    def subject(self) -> protocol.Subject:
        """Give the profile."""
        return protocol.Subject(Case.read(self.case).ring, self.profile)

    def command(self, folder: Path) -> Command:
        """Give the command of the back-end; ours is built in a folder. Raises MissingError where there is none."""
        if self.back_end != OURS:
            return Command(backend_command(self.back_end))
        source, program = Path(vhost_inflight.conformance.__file__).parent / "backend.c", folder / "backend"
        subprocess.run(["cc", "-std=c99", "-g", "-O1", "-o", program, source], check=True)
        return Command(f"{program} {{socket}} {{image}}")

    def live(self) -> Trace:
        """Live the lives of the case. Raises InflightError where that is not possible."""
        case = Case.read(self.case)
        with tempfile.TemporaryDirectory(prefix="follow-") as folder:
            setup = Setup(self.command(Path(folder)), Choices(ring=case.ring), patience=2)
            return record(self.back_end, setup, case)

    def recorded(self) -> Trace:
        """Read the trace."""
        return Trace.read((FOLDER / f"{self.name}.json").read_text(encoding="utf-8"))


HELD: Final = (
    Held("dpdk", "librte_vhost", "packed-in-use-calm"),
    Held("dpdk", "librte_vhost", "packed-mixed-8-after"),
    Held("dpdk", "librte_vhost", "packed-mixed-66-before"),
    Held("dpdk", "librte_vhost", "packed-mixed-76-after"),
    Held("dpdk", "librte_vhost", "packed-mixed-80-after"),
    Held("dpdk", "librte_vhost", "packed-mixed-110-after"),
    Held("dpdk", "librte_vhost", "packed-mixed-calm"),
    Held("dpdk", "librte_vhost", "split-in-use-calm"),
    Held("dpdk", "librte_vhost", "split-mixed-calm"),
    Held("dpdk", "librte_vhost", "split-mixed-40-after"),
    Held("qemu", "vhost-user-blk", "split-in-use-calm"),
    Held("qemu", "vhost-user-blk", "split-mixed-calm"),
    Held("qemu", "vhost-user-blk", "split-mixed-40-after"),
    Held(OURS, "merged", "split-mixed-40-after"),
    # its wish to be kicked is its own: it takes it back whenever it works, not when it takes a kick alone
    Held(OURS, "hardened", "packed-mixed-110-after", frozenset({"device_event.flags"})),
)


def main(patterns: Sequence[str]) -> int:
    """Live the cases whose names match, write what was stored, and say whether the profile made the same stores."""
    good = True
    for held in HELD:
        if patterns and not any(fnmatchcase(held.name, pattern) for pattern in patterns):
            continue
        trace = held.live()
        (FOLDER / f"{held.name}.json").write_text(trace.text(), encoding="utf-8")
        astray = follow(protocol.table(held.subject), trace, held.without)
        good = good and astray is None
        stores = sum(len(life.stores) for life in trace.lives)
        print(f"{held.name}: {stores} stores, {held.profile}: {astray or 'the same'}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
