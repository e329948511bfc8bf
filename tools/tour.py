"""The tables of docs/tour.md: what a crash after a step does, and which pictures there are.

A table of crashes is one run, cut off at a step each time, and then the recovery of the process after it, played on the
model: two requests, A and B, are made available, fetched, finished, and given back in one batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import diagrams
from model import protocol
from model.interpret import Machine, StateTuple
from model.protocol import Subject
from model.steps import Table
from tools import claims

__all__ = ["crashes", "part", "pictures"]

Row = tuple[str, ...]

_NAMES = "AB"
"""The requests, in the order in which they are made available; each is one descriptor."""

_CRASHES: Mapping[str, tuple[tuple[str, int, str], ...]] = {
    "split": (
        ("split.fetch.counter", 2, ""),
        ("split.fetch.2", 2, ""),
        ("split.supply.3", 2, ""),
        ("split.supply.5", 1, ""),
        ("split.supply.6", 1, ""),
        ("split.supply.5", 1, "split.reconnect.1b"),
    ),
    "packed": (
        ("packed.fetch.2b", 2, ""),
        ("packed.fetch.7", 2, ""),
        ("packed.supply.4", 2, ""),
        ("packed.supply.7", 1, ""),
        ("packed.supply.7", 2, ""),
        ("packed.supply.9a", 1, ""),
        ("packed.supply.7", 1, "packed.reconnect.2c"),
    ),
}
"""The steps that are looked at, the how manieth time each, and the step of recovery after which the next dies too."""

_FOUND: Mapping[str, tuple[str, ...]] = {
    "split": ("split.reconnect.1.else", "split.reconnect.1a"),
    "packed": (
        "packed.reconnect.1.else",
        "packed.reconnect.1.settled",
        "packed.reconnect.1c.else",
        "packed.reconnect.1c1",
        "packed.reconnect.unmark",
    ),
}
"""The steps of recovery whose sentences say what it found."""


@dataclass
class _Run:
    """A run of the model, one event after another."""

    machine: Machine
    taken: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin without a process."""
        self.state: StateTuple = self.machine.initial()

    def tagged(self, tag: str) -> int:
        """Count the events so far whose step has a tag."""
        return sum(tag in self.machine.table.step(step).tags for step, _ in self.taken)

    def take(self, *wanted: str) -> str:
        """Take the first event that is possible of the wanted procedures or steps; give the step, or nothing."""
        for want in wanted:
            for step, chosen, after in sorted(self.machine.enabled(self.state), key=lambda event: event[:2]):
                if want in (step, self.machine.table.step(step).procedure):
                    self.state = after
                    self.taken.append((step, chosen))
                    return step
        return ""

    def recover(self, last: str = "") -> None:
        """Let a process start and recover: to the end, or to a step."""
        while (step := self.take("recover")) and step != last:
            pass

    def serve(self, ring: str) -> Iterator[str]:
        """Make, fetch, finish and give back the requests, step by step."""
        for tag, procedure in (("available", "driver"), ("fetched", "fetch")):
            while self.tagged(tag) < len(_NAMES):
                yield self.take(procedure)
        for _ in _NAMES:
            yield self.take("device")
        while step := self.take(f"{ring}.supply.1", "supply"):
            yield step

    def serve_until(self, ring: str, last: str, times: int) -> None:
        """Serve until a step has been taken so many times; raise `LookupError` if it never is."""
        for step in self.serve(ring):
            times -= step == last
            if not times:
                return
        raise LookupError(f"the run of the tour does not take {last} so often")


def part(name: str) -> tuple[Row, list[Row]] | None:
    """Give ``pictures`` or ``crashes RING`` as the head and rows of a table; None for any other name."""
    kind, _, ring = name.partition(" ")
    if name == "pictures":
        return ("picture", "for a slide"), list(pictures())
    if kind == "crashes" and ring in protocol.RINGS:
        head = (
            "the back-end dies right after",
            "the driver sees used",
            "its successor finds",
            "resubmits",
            "goes on with",
        )
        return head, list(crashes(ring))
    return None


def crashes(ring: str) -> Iterator[Row]:
    """Give a row for each crash: the step, what the driver sees as used, and what the process after it does."""
    subject = Subject(ring, claims.PROVED[ring])
    table = protocol.table(subject, quiet=True)
    machine = Machine(table, protocol.sizes(subject, 4), check=True)
    uncut = _Run(machine)
    uncut.recover()
    whole = Counter(uncut.serve(ring))
    for step, times, again in _CRASHES[ring]:
        run, died = _Run(machine), _told(table, step)
        if whole[step] > 1:
            died = f"{'first' if times == 1 else 'last'} {died}"
        run.recover()
        run.serve_until(ring, step, times)
        seen = _seen(ring, run)
        run.take("crash")
        if again:
            run.recover(again)
            run.take("crash")
            died += f" Then, recovering, after {_told(table, again)}"
        begin = len(run.taken)
        run.recover()
        after = run.taken[begin:]
        found = [name for name in dict.fromkeys(name for name, _ in after) if name in _FOUND[ring]]
        resubmitted = [_NAMES[chosen] for name, chosen in after if "resubmit" in table.step(name).tags]
        yield (
            died,
            seen or "nothing",
            " ".join(_told(table, name) for name in found),
            ", ".join(resubmitted) or "nothing",
            ", ".join(_NAMES[_position(ring, run) :]) or "what comes next",
        )


def _told(table: Table, step: str) -> str:
    return f"`{step}`: {table.step(step).sentence}"


def _seen(ring: str, run: _Run) -> str:
    """Name what the driver would read as used now."""
    if ring == "split":
        return ", ".join(_NAMES[: run.machine.get(run.state, "used.idx")])
    bits = [run.machine.get(run.state, f"ring.desc[].flags.{bit}") for bit in ("avail", "used")]
    used = [avail == used == 1 for avail, used in zip(*bits, strict=True)]
    return ", ".join(_NAMES[: used.index(False)])


def _position(ring: str, run: _Run) -> int:
    """Give the place at which the process goes on to fetch; nothing here goes once round the ring."""
    return int(run.machine.get(run.state, "fetch.last_avail" if ring == "split" else "fetch.avail_idx"))


def pictures() -> Iterator[Row]:
    """Give a row for each picture that is a whole: a link to it, and links to the forms of it for a slide."""
    names = diagrams.names()
    whole = [name for name in names if "-slide-" not in name and not name.endswith("-end")]
    for name in whole:
        forms = [n for n in names if n.startswith(f"{name}-slide-") or n == f"{name}-end"]
        links = [_link(form.removeprefix(f"{name}-").removeprefix("slide-"), form) for form in forms]
        yield (_link(name, name), " ".join(links))


def _link(text: str, name: str) -> str:
    return f"[{text}](diagrams/{name}.svg)"
