"""What a crash test did and found, and how each ends: a last back-end that is not killed, and everything comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge
from vhost_inflight.judging.crash.rig import DRAIN, Rig

__all__ = ["Outcome", "end"]


@dataclass
class Outcome:
    """What a crash test did and found; ``steps`` counts deaths by where they came, ``seconds`` is the whole time.

    ``file`` is the schedule whose crashes were played, None: there was none.
    """

    ring: str
    revision: str
    queue_size: int
    seed: int
    kills: int = 0
    requests: int = 0
    resubmitted: int = 0
    seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)
    file: Path | None = None
    gaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def properties(self) -> dict[str, Broken]:
        """Give each violated property with its first violation."""
        first: dict[str, Broken] = {}
        for broken in self.broken:
            first.setdefault(broken.property, broken)
        return first

    @property
    def lost(self) -> bool:
        """Whether more than an order was violated: driver and back-end then disagree about what is where."""
        return bool({broken.property for broken in self.broken} - {"order", "restartable"})

    def again(self) -> str:
        """Give the command that does it again; the processes' timing is their own, so it may take another way."""
        if self.file is not None:
            return f"vhost-inflight crash-test --schedule {self.file}"
        last = max((b.kill for b in self.properties.values()), default=self.kills)
        chosen = "".join(f" --gap {name}={choice}" for name, choice in self.gaps.items())
        return (
            f"vhost-inflight crash-test --ring {self.ring} --revision {self.revision}{chosen} "
            f"--queue-size {self.queue_size} --kills {last} --seed {self.seed}"
        )

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        counts = Counter(broken.property for broken in self.broken)
        return {
            "ring": self.ring,
            "revision": self.revision,
            "gaps": dict(self.gaps),
            "queue_size": self.queue_size,
            "seed": self.seed,
            "kills": self.kills,
            "requests": self.requests,
            "resubmitted": self.resubmitted,
            "seconds": round(self.seconds, 3),
            "steps": dict(sorted(self.steps.items())),
            "violations": [{**asdict(b), "count": counts[b.property]} for b in self.properties.values()],
            "again": self.again() if self.broken else None,
        }


def end(rig: Rig, judge: CrashJudge, outcome: Outcome) -> None:
    """Start a last back-end that is not killed, let everything come back, and judge that it did."""
    rig.start(outcome.seed, None)
    deadline = time.monotonic() + DRAIN
    waiting = True
    while waiting and time.monotonic() < deadline:
        rig.control.send("drain")
        rig.wait(0.01)
        record = rig.record()
        judge.follow(record)
        waiting = record.pending > 0 and not record.errors
    rig.kill()
    judge.ended(rig.region(), in_time=not waiting)
