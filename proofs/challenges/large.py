"""Runs of large rings: what goes wrong at 256 entries, or at 32768, no small witness shows.

    python -m proofs.challenges.large [--ring RING] [--size N] [--seed N] [--runs N]

A random run (`native` plays it) with moods, each of which lets one party act for a while: the driver until the ring is
full, the back-end until all is fetched, the device, supply in batches as large as can be. A crash ends some moods at a
moment of its own, in every procedure. It begins near the end of the 16-bit indexes, so that they and the wrap counters
wrap. At each event its judgements are made; at intervals, at each crash and after each recovery every sentence of the
invariant is evaluated; some recoveries are cut off and run again. At the end the driver has to get everything back.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

from model import protocol
from model.both.words import DEAD, RUNNING
from model.interpret import Sizes
from model.properties import NAMES
from model.protocol import Subject
from model.steps import Table
from model.terms import ModelError
from proofs.challenges.native import Native, NoCompilerError
from proofs.induction.kits import induction_of
from proofs.search.runs import RESUBMITTED, left, runs

__all__ = ["DEFAULTS", "LARGE", "Player", "Run", "main", "player_of", "players", "started"]

DEFAULTS = (Subject("split", "merged"), Subject("packed", "hardened"))
"""What is played: the defaults of the oldest revision of each ring of which every property is proved."""

LARGE = (256, 257, 4096, 32768)
"""The sizes; the split ring has no 257, so there the region alone has that many entries (gap region-size)."""

PAIRS = 1024
"""Up to this size sentences about all pairs of entries are evaluated of all of them; beyond it, of 64 with all others.

`well-formed`, which walks the free list for each entry, is judged at each event up to this size, and beyond it in the
first place where it is judged and at the end of the first recovery. Beyond 4096, the end of a run is not waited for: it
is enough that something owed can still happen.
"""
LONG = 20_000
"""How many events a mood has at most, but for the one in which the ring is filled: a run takes seconds."""

MOODS = {"fill": ("driver",), "fetch": ("fetch",), "finish": ("device",), "supply": ("supply",), "use": ("rest",),
         "serve": ("fetch", "device", "supply"), "all": ("driver", "fetch", "device", "supply", "rest")}  # fmt: skip
"""Who acts in a mood; in each, one event of fifty is somebody else's."""

LATE = {"driver": {"packed": "driver.make.last"}, "supply": {"split": "split.supply.5", "packed": "packed.supply.6a"}}
"""What ends a chain, and a batch: put off where either is to be long."""

WELL_FORMED = 1 << NAMES.index("well-formed")


def started(ring: str, size: int, seed: int) -> Sizes:
    """Give the sizes of a run, and a first index from which the ring's indexes, or its laps, wrap soon.

    A split ring has a power of two of descriptors; of another size only the region is, one entry larger than its ring.
    """
    ring_size = size - 1 if ring == "split" and size & (size - 1) else size
    first = 65536 - ring_size // 2 if ring == "split" else (0, ring_size - 3, 3 * ring_size)[seed % 3]
    return Sizes(ring_size, size, first)


def players(subject: Subject, sizes: Sequence[int]) -> Iterator[tuple[int, Player]]:
    """Give the sizes with what plays them: one, but where the region is larger than the ring."""
    for size in sizes:
        larger = subject.ring == "split" and size & (size - 1)
        of = Subject.of(subject.ring, subject.revision, {"region-size": "larger"}) if larger else subject
        yield size, player_of(of)


@dataclass
class Run:
    """What a run showed: events by step, where crashes came, the largest batch, what was evaluated, what is wrong."""

    sizes: Sizes
    steps: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    events: int = 0
    batch: int = 0
    full: int = 0
    evaluated: int = 0
    restarts: int = 0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Say it in a line."""
        crashes = ", ".join(f"{number} in {where}" for where, number in sorted(self.crashes.items()))
        return (
            f"size {self.sizes.size} ({self.sizes.entries} entries, first {self.sizes.first}): {self.events} events, "
            f"crashes: {crashes or 'none'}; full {self.full} times, largest batch {self.batch}; invariant at "
            f"{self.evaluated} states, {self.restarts} recoveries run again"
        )


class Player:
    """A table compiled, ready for runs of any size."""

    def __init__(self, subject: Subject, table: Table | None = None, *, invariant: bool = True) -> None:
        """Compile it (or another `table`), with the judgements of its ring and the sentences of its proof."""
        self.subject, ring = subject, induction_of(subject.ring)
        self.table = ring.with_ghosts(protocol.table(subject) if table is None else table)
        self.sentences = list(ring.invariant(self.table)) if invariant else []
        judgements = protocol.judgements(subject.ring)
        seen = runs(subject.ring).all_seen
        self.native = Native(self.table, judgements, [*(c.holds for c in self.sentences), seen])

    def play(self, sizes: Sizes, seed: int) -> Run:
        """Play a random run; stop at the first fault."""
        return _Playing(self, sizes, seed).play()


player_of = cache(Player)
"""Gives what plays a subject, compiled once."""


class _Playing:
    """One run."""

    def __init__(self, player: Player, sizes: Sizes, seed: int) -> None:
        self.player, self.native, self.ring = player, player.native, player.subject.ring
        self.native.begin(sizes)
        self.small = sizes.size <= PAIRS
        self.walked: Counter[str] = Counter()
        self.run, self.rng = Run(sizes), random.Random(seed)  # noqa: S311
        self.number = {name: n for n, name in enumerate(self.native.procedures)}
        self.weight: Counter[str] = Counter()
        self.late: dict[str, float] = {}
        self.order: list[int] = []
        self.crash = self.native.index["crash"]

    @cached_property
    def left(self) -> tuple[str, ...]:
        return left(self.ring, self.native.table.vars)

    def play(self) -> Run:
        try:
            self._look()
            self._recover()
            for mood, events in self._moods():
                self._in_mood(mood, events)
                if self.rng.random() < 0.5:
                    self._publish_some()
                    self._crash()
                    if self.run.restarts < (2 if self.small else 1) and self.rng.random() < 0.5:
                        self._cut_off()
                    self._recover()
            self._drain()
            self._look()
        except ModelError as wrong:
            self.run.faults.append(f"event {self.run.events}: {wrong}")
        except _FoundError:
            pass
        return self.run

    def _moods(self) -> Iterator[tuple[str, int]]:
        """Give moods, and how long they last: first the ring is filled and served as a whole, then what comes comes."""
        size = self.run.sizes.size
        yield "fill", 20 * size
        yield from ((mood, min(LONG, 20 * size)) for mood in ("fetch", "finish", "supply", "use"))
        for _ in range(12 if self.small else 4):
            yield self.rng.choice([*MOODS]), 1 + int(self.rng.random() ** 2 * min(LONG, 12 * size))

    def _in_mood(self, mood: str, events: int) -> None:
        self.late = {"driver": self.rng.choice((0.5, 0.9, 0.99)), "supply": 1 - 1 / self.rng.choice((2, 50, 1e9))}
        most = MOODS[mood]
        idle = 0
        for _ in range(events):
            # the first time the ring is filled while the back-end looks away: all of it waits at once
            others = [name for name in MOODS["all"] if name not in most and self.run.full]
            who = self.rng.choice(others if others and self.rng.random() < 0.02 else most)
            idle = 0 if self._act(who, 128 if idle < 10 else None) else idle + 1
            if idle == 10:
                self._hands_free()
            if idle > 20:
                break
        if not self.native.get("driver.num_free"):
            self.run.full += 1
        if self.rng.random() < 0.05:
            self._act_if("connection.reset")

    def _hands_free(self) -> None:
        """Let the back-end end what it is in the midst of, without which it does nothing else."""
        for name, between in (("fetch", ("look", "take", "rest", "off")), ("supply", ("idle", "off"))):
            while self.native.get(f"{name}.at") not in between and self._act(name, late=False):
                pass

    def _publish_some(self) -> None:
        """Go on with a batch for a while, so that crashes come while it is published, and while it is settled."""
        if self.rng.random() < 0.7:
            if not self.native.get("supply.open"):
                self._hands_free()
                for _ in range(self.rng.randrange(1, 9)):
                    self._act("device")
            for _ in range(self.rng.randrange(1, 48 + 3 * self.native.get("supply.count"))):
                if self.native.get("supply.at") == "off" or not self._act("supply", late=False):
                    break

    # Events

    def _act(self, who: str, reach: int | None = None, *, late: bool = True) -> bool:
        """Let somebody act, if it can (with one of so many choices): whether it did."""
        if who not in self.number:
            return False
        wait = late and self.rng.random() < self.late.get(who, 0)
        number = self.native.index[LATE[who][self.ring]] if wait and self.ring in LATE[who] else -1
        start = self.rng.randrange(self.run.sizes.heads)
        found = self.native.next_of(self.number[who], self.rng.randrange(60), start, reach, number)
        if found is None:
            return False
        self._take(*found)
        return True

    def _act_if(self, step_id: str) -> bool:
        step = self.native.index.get(step_id)
        if step is None or not self.native.enabled(step):
            return False
        self._take(step)
        return True

    def _take(self, step: int, chosen: int = -1) -> None:
        name = self.native.steps[step].step.id
        if name in LATE["supply"].values():
            self.run.batch = max(self.run.batch, self.native.get("supply.count"))
        wrong = self.native.event(step, chosen, self._left_out(step))
        self.run.steps[name] += 1
        self.run.events += 1
        if wrong:
            self._fault(*(f"{prop} is violated by {name}" for prop in wrong))
        if self.run.events % max(2000, 8 * self.run.sizes.size) == 0:
            self._look()

    def _left_out(self, step: int) -> int:
        """Say which properties are not judged at a step, because that takes too long at this size."""
        tags = self.native.steps[step].step.tags & {"settled", "recovered"}
        if self.small or not tags:
            return 0
        self.walked.update(tags)
        return WELL_FORMED if any(self.walked[tag] > 1 for tag in tags) else 0

    def _fault(self, *faults: str) -> None:
        self.run.faults += [f"event {self.run.events}: {fault}" for fault in faults]
        raise _FoundError

    # Crashes

    def _crash(self) -> None:
        if not self.native.enabled(self.crash):
            return
        labels = {name: self.native.get(f"{name}.at") for name in ("recover", "fetch", "supply")}
        between = ("look", "take", "rest", "idle", "off")
        where = (
            [n for n in ("fetch", "supply") if labels[n] not in between]
            if labels["recover"] == RUNNING
            else ["recover"]
        )
        self.run.crashes[where[0] if where else "between"] += 1
        self._take(self.crash)
        self._look()
        if self.rng.random() < 0.05:
            self._act_if("driver.reset")

    def _recover(self) -> None:
        """Recover, with crashes on the way, while the driver acts now and then."""
        while self.native.get("recover.at") != RUNNING:
            if self.rng.random() < 0.2 / (1 + self.run.crashes["recover"]):
                self._recover_for(self.rng.randrange(1 + 2 * self.run.sizes.size))
                if self.native.get("recover.at") not in (DEAD, RUNNING):
                    self._crash()
            self._recover_for(-1)
        self._look()

    def _recover_for(self, events: int) -> None:
        self.order = []
        while events and self.native.get("recover.at") != RUNNING:
            if self.rng.random() < 0.01:
                self._act("driver") or self._act("rest")
            self._recovery_step(self._take)
            events -= 1

    def _recovery_step(self, take: Callable[[int, int], object]) -> None:
        start = self._next_resubmitted() if self.native.get("recover.at") == "resubmit" else 0
        found = self.native.next_of(self.number["recover"], 0, start)
        if found is None:
            self._fault("drains: recovery goes no further")
        assert found
        take(*found)

    def _next_resubmitted(self) -> int:
        """Give the entry that is probably next: by the counter; the guard decides, this saves it looking at others."""
        if not self.order:
            counters, marks = self.native.get("region.desc[].counter"), self.native.get("region.desc[].inflight")
            done = self.native.get(RESUBMITTED)
            waiting = (n for n, mark in enumerate(marks) if mark == 1 and not done[n])
            self.order = sorted(waiting, key=lambda n: (counters[n], n), reverse=True)
        return self.order.pop() if self.order else 0

    def _cut_off(self) -> bool:
        """Judge `restartable`: cut off a recovery somewhere, and run it again, the driver idle."""
        saved = self.native.save()
        whole = self._outcome()
        self.native.restore(saved)
        self.order = []
        for _ in range(self.rng.randrange(3 * self.run.sizes.size)):
            if self.native.get("recover.at") == RUNNING:
                break
            self._recovery_step(self.native.event)
        if self.native.get("recover.at") not in (DEAD, RUNNING):
            self.native.event(self.crash)
        if self.native.get("recover.at") == DEAD and self._outcome() != whole:
            self._fault("restartable: a recovery that was cut off ends otherwise")
        self.native.restore(saved)
        self.run.restarts += 1
        return True

    def _outcome(self) -> list[object]:
        self.order, given = [], list[int]()

        def take(step: int, chosen: int) -> None:
            if self.native.steps[step].step.id == runs(self.ring).resubmit:
                given.append(chosen)
            self.native.event(step, chosen)

        while self.native.get("recover.at") != RUNNING:
            self._recovery_step(take)
        return [given, *(self.native.get(name) for name in self.left)]

    # What is looked at

    def _look(self) -> None:
        """Evaluate the whole invariant; where that takes long, sentences about pairs of some entries with all."""
        stride = 1 if self.small else self.run.sizes.size // 64
        offset = self.rng.randrange(stride)
        sentences = self.player.sentences
        wrong = [said.name for n, said in enumerate(sentences) if not self.native.holds(n, stride, offset)]
        self.run.evaluated += 1
        if wrong:
            self._fault(*(f"{name} does not hold" for name in wrong))

    def _drain(self) -> None:
        """Let everybody do what is owed: the driver must get everything back."""
        self.late = {}
        if self.native.get("recover.at") != RUNNING:
            self._recover()
        end = self.run.events + (LONG if self.run.sizes.size > 4096 else 100 * self.run.sizes.size + 1000)
        while self.run.events < end:
            acted = [self._act(who) for who in ("fetch", "device", "supply", "rest")]
            acted.append(self.native.get("driver.at") != "idle" and self._act("driver"))
            if not any(acted):
                break
        else:
            if self.run.sizes.size > 4096:
                return  # something that is owed still happens; all of it would take a minute
        if not self.native.holds(len(self.player.sentences)):
            self._fault("drains: the driver does not get everything back")


class _FoundError(Exception):
    """A fault was found: the run ends."""


def main(arguments: Sequence[str]) -> int:
    """Play runs and print what they showed; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proofs.challenges.large", description="Runs of large rings.")
    parser.add_argument("--ring", choices=protocol.RINGS)
    parser.add_argument("--size", type=int, action="append", help=f"a queue size, 2 to 32768; default: {LARGE}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=1, help="how many of each, with the seeds that follow")
    args = parser.parse_args(arguments)
    if args.runs < 1 or any(not 2 <= size <= 32768 for size in args.size or ()):
        parser.error("a size is 2 to 32768, and there is at least one run")
    wrong = 0
    seeds = range(args.seed, args.seed + args.runs)
    try:
        for subject in (s for s in DEFAULTS if args.ring in (None, s.ring)):
            for size, player in players(subject, args.size or LARGE):
                for seed in seeds:
                    run = player.play(started(subject.ring, size, seed), seed)
                    wrong += bool(run.faults)
                    print("\n".join([f"{subject.ring}, seed {seed}: {run.text()}", *run.faults]), flush=True)
    except NoCompilerError as missing:
        print(missing, file=sys.stderr)
        return 2
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
