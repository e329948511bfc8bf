"""Runs under a kind of memory: a schedule file that says which memory, and which pair it may turn round besides.

The form is that of any schedule; ``memory`` is added: the kind, the side whose accesses wait, how many stores may wait,
and the pair (earlier, later) that is not kept although a point would keep it. One access moves, past the other one of
the pair, past what no point keeps it from and past those in ``past`` (`model.memory.kinds.Moved`); all others stay in
the order of the text. Events of the memory are ``memory.store N`` and ``memory.load N`` (model.memory.machine).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from model import protocol
from model.interpret import Sizes
from model.memory.kinds import MEMORIES, Memory, Moved, Pair
from model.memory.machine import MemoryMachine
from model.terms import ModelError
from proofs.orders.judging import MemoryJudge
from proofs.orders.points import Part, part, points
from proofs.search.bounds import Event

__all__ = ["MemoryRun", "judge_of", "memory_of", "read", "turned_round"]


def memory_of(name: str) -> Memory:
    """Look a kind of memory up; raise `ModelError` if there is none of that name."""
    found = next((m for m in MEMORIES if m.name == name), None)
    if found is None:
        raise ModelError(f"there is no memory {name!r}; there are: {', '.join(m.name for m in MEMORIES)}")
    return found


@dataclass(frozen=True)
class MemoryRun:
    """A run that violates a property where a memory may turn one pair round that a point keeps."""

    ring: str
    part: str
    memory: str
    free: Pair
    past: tuple[str, ...]
    window: int
    violates: str
    queue_size: int
    first_index: int
    notifications: bool
    events: tuple[Event, ...]

    @property
    def side(self) -> Part:
        """The side of the ring whose accesses wait."""
        return part(self.ring, self.part)

    @property
    def file_name(self) -> str:
        """Give the name of its file."""
        return "-".join([self.memory, *(name.replace(" ", "-").replace("[]", "") for name in self.free)]) + ".json"

    def document(self) -> dict[str, Any]:
        """Give it in the form of a schedule file."""
        subject = self.side.subject
        sizes = protocol.sizes(subject, self.queue_size, self.first_index)
        return {
            "format": "vhost-inflight schedule 1", "kind": "counterexample", "mutant": None,
            "memory": {"kind": self.memory, "side": self.part, "free": list(self.free),
                       "past": list(self.past), "window": self.window},
            "ring": self.ring, "revision": subject.revision, "gaps": dict(subject.choices), "property": self.violates,
            "queue_size": self.queue_size, "region_size": sizes.entries, "first_index": self.first_index,
            "notifications": self.notifications, "schedule": [list(e) for e in self.events],
        }  # fmt: skip


def read(path: Path) -> MemoryRun:
    """Read the file of a run; raise `KeyError` where it is none."""
    data = json.loads(path.read_text(encoding="utf-8"))
    events = tuple((str(e[0]), int(e[1])) if len(e) > 1 else (str(e[0]),) for e in data["schedule"])
    memory = data["memory"]
    return MemoryRun(
        data["ring"], memory["side"], memory["kind"], tuple(memory["free"]), tuple(memory["past"]), memory["window"],
        data["property"],
        data["queue_size"], data["first_index"], data["notifications"], events,
    )  # fmt: skip


def judge_of(run: MemoryRun, *, kept: bool = False) -> MemoryJudge:
    """Give the judge of a run's property, on its memory with its pair left to that, or kept."""
    sizes = protocol.sizes(run.side.subject, run.queue_size, run.first_index)
    machine = _machine(run.side, memory_of(run.memory), sizes, run.window, notifications=run.notifications)
    orders = Moved(points(run.side), run.free, frozenset(run.past), kept)
    return MemoryJudge(machine.keeping(orders), frozenset([run.violates] if run.violates else []))


@cache
def _machine(side: Part, memory: Memory, sizes: Sizes, window: int, *, notifications: bool) -> MemoryMachine:
    table = protocol.table(side.subject, quiet=not notifications)
    return MemoryMachine(table, sizes, memory, points(side), side.agent, window=window)


def turned_round(run: MemoryRun, *, kept: bool = False) -> int | None:
    """Play a run with its pair left to the memory, or kept; give the number of the first event that is wrong.

    Raise `ModelError` where an event is not possible.
    """
    judge = judge_of(run, kept=kept)
    state = judge.machine.initial()
    for number, event in enumerate(run.events):
        chosen = event[1] if len(event) > 1 else -1
        after = judge.machine.take(state, event[0], chosen)
        if judge.event(state, (judge.machine.index[event[0]], chosen, after)) or judge.state(after):
            return number
        state = after
    return None
