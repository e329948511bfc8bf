"""What a crash test did and found, and how each ends: a last back-end that is not killed, and everything comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refimpl.backend.reins import Order
from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge
from vhost_inflight.judging.crash.rig import Rig, Shape
from vhost_inflight.judging.crash.stops import Stops
from vhost_inflight.judging.play.schedule import FORMAT

__all__ = ["Outcome", "drained", "end"]

DRAIN = 500
"""Looks at the driver, 10 ms apart at least, in which something has to come back when there are no more crashes."""


@dataclass
class Outcome:
    """What a crash test did and found; ``steps`` counts deaths by where they came, ``seconds`` is the whole time.

    ``events`` are those of a schedule that plays it again, unless the processes ran ``free``. ``file`` is the schedule
    whose crashes were played, None: there was none; ``wanted`` the property that it violates, ``left`` where the
    processes left it, ``cut`` whether what comes after that was not played; ``stops`` what came of stopping the ring,
    None: nobody did.
    """

    shape: Shape
    seed: int
    kills: int = 0
    requests: int = 0
    resubmitted: int = 0
    seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)
    free: bool = False
    interrupted: bool = False
    events: list[list[Any]] = field(default_factory=list)
    file: Path | None = None
    wanted: str | None = None
    left: str = ""
    cut: bool = False
    stops: Stops | None = None

    @property
    def ring(self) -> str:
        """The ring, as commands name it."""
        return self.shape.choices.ring

    @property
    def revision(self) -> str:
        """The text that was followed."""
        return self.shape.choices.revision

    @property
    def gaps(self) -> Mapping[str, str]:
        """The choices other than the defaults."""
        return self.shape.choices.changed()

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

    def happened(self, step: Order) -> None:
        """Record a step that a steered process took."""
        self.events.append([step.what] if step.choice is None else [step.what, step.choice])

    def again(self) -> str:
        """Give the command that does it again; that of processes that ran free may take another way."""
        if self.file is not None:
            return f"vhost-inflight crash-test --schedule {self.file}"
        last = max((b.kill for b in self.properties.values()), default=self.kills)
        chosen = "".join(f" --gap {name}={choice}" for name, choice in self.gaps.items())
        chosen += self.stops.options() if self.stops is not None else ""
        return (
            f"vhost-inflight crash-test --ring {self.ring} --revision {self.revision}{chosen} "
            f"--queue-size {self.shape.size} --kills {last} --seed {self.seed}{' --free' * self.free}"
        )

    def schedule(self) -> dict[str, Any]:
        """Give what happened, up to the last kill, as a schedule file has it. Of processes that ran free: nothing."""
        return {
            "format": FORMAT,
            "ring": self.ring,
            "revision": self.revision,
            "gaps": dict(self.gaps),
            "mutant": None,
            "property": next(iter(self.properties), None),
            "queue_size": self.shape.size,
            "region_size": self.shape.entries,
            "first_index": self.shape.first,
            "notifications": True,
            "schedule": self.events,
        }

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        counts = Counter(broken.property for broken in self.broken)
        return {
            "ring": self.ring,
            "revision": self.revision,
            "gaps": dict(self.gaps),
            "queue_size": self.shape.size,
            "seed": self.seed,
            "free": self.free,
            "interrupted": self.interrupted,
            "kills": self.kills,
            "requests": self.requests,
            "resubmitted": self.resubmitted,
            "seconds": round(self.seconds, 3),
            "steps": dict(sorted(self.steps.items())),
            "violations": [{**asdict(b), "count": counts[b.property]} for b in self.properties.values()],
            "left": self.left or None,
            "again": self.again() if self.broken else None,
            **({} if self.stops is None else {"stops": self.stops.document()}),
        }


def end(rig: Rig, judge: CrashJudge, outcome: Outcome) -> None:
    """Start a last back-end that is not killed, let everything come back, and judge that it did."""
    rig.start(outcome.seed)
    drained(rig, judge)


def drained(rig: Rig, judge: CrashJudge) -> None:
    """Let everything come back from a back-end that lives, and judge that it did; the driver runs free."""
    judges = [judge, *(one.judge for one in rig.beside)]
    quiet, waiting = 0, [True]
    while any(waiting) and quiet < DRAIN:
        rig.tell_driver("drain")
        rig.beside.move(idle=True)
        rig.wait(0.01)
        records = [rig.record(), *(one.taken() for one in rig.beside)]
        for each, record in zip(judges, records, strict=True):
            each.follow(record)
        quiet = 0 if any(record.used for record in records) else quiet + 1
        waiting = [record.pending > 0 and not record.errors for record in records]
    rig.kill()
    for each, waits in zip(judges, waiting, strict=True):
        each.ended(rig.region(each.queue), in_time=not waits)
