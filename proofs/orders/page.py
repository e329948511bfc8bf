"""docs/orders-memory.md: which orders of a back-end's accesses are needed, on which memory, and what they are in C."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from model import protocol
from model.memory.accesses import Made, made
from model.memory.kinds import ARM, COMPILER, LOAD_LOAD, STORE_LOAD, STORE_STORE, X86, is_load
from proofs.orders.answers import Answer, Joint, Told, load
from proofs.orders.forms import NOTHING, form
from proofs.orders.points import PARTS, Part
from proofs.orders.searching import parts, unseen

__all__ = ["PAGE", "page"]

PAGE = "docs/orders-memory.md"

_INTRODUCTION = f"""# Which accesses of a back-end must stay in order, and how C11 says so

Written by `python -m proofs.orders page` from proofs/recorded; do not edit. `python -m proofs.orders` plays each run
of it again, `python -m proofs.orders record` searches anew, `vhost-inflight replay FILE` shows one run.

[orders.md](orders.md) and [orders-packed.md](orders-packed.md) swap neighbouring steps of the *text*. This page is
about a program that has the text's order, and about who may change it: the **compiler**, for which the next process
pays (it finds what the killed one had stored, and a store that the compiler put later is lost), and the
**processor**, for which the driver pays (it looks from another core while the back-end lives). A processor takes
nothing from a crash: the core of a killed process enters the kernel, and its stores are seen before anything that
comes of its end. [architecture.md](architecture.md#memory-order) says what is assumed and how it is searched.

- *needed*: where that memory may turn the two round, a run violates a property; the shortest one found is linked.
- *proved not*: by the tables. The region is read by no step of the driver, so no other core can tell when its fields
  are stored; and no crash can tell when a load was made.
- *keeps it*: that processor never turns such a pair round.
- *not found*: no run within bounds, which the number below the table names, in which the first of two stores is made
  late, or the second of two accesses, a load, early. Not a proof.

In C11, fields that others look at are atomics: {NOTHING} where nothing else is said. What has to be kept from the
compiler alone takes a signal fence, which costs nothing at run time; what has to be kept from the processor takes a
release store, an acquire load, or a full fence, and these keep the compiler too. On x86-64 only the full fence is an
instruction. An eventfd is a system call: nothing passes it. No store comes before a load that the text puts before
it, since each depends on what was looked at; the driver does what virtio asks of it, in order.
"""


def page() -> str:
    """Write the page from the record."""
    return "\n".join([_INTRODUCTION, *(line for ring in protocol.RINGS for line in _ring(ring))])


def _ring(ring: str) -> Iterator[str]:
    joints, told = load(ring)
    notes = _Notes(ring)
    yield f"## The {ring} ring\n"
    yield from _points(ring, told)
    loads = ("A store and a load, or two loads", {STORE_LOAD, LOAD_LOAD})
    for title, kinds in (("Two stores", {STORE_STORE}), loads):
        these = [t for t in told if t.row.kind in kinds and t.row.kept]
        yield f"### {title}: {sum(t.needed for t in these)} orders are needed\n"
        yield notes.table([t for t in these if t.needed])
        rest = [t for t in these if not t.needed]
        if rest:
            yield f"The same points keep {len(rest)} more pairs, whose order was not found to be needed:\n"
            yield notes.table(rest)
    yield from _free(ring, joints, [t for t in told if not t.row.kept])
    yield "### What was searched where nothing was found\n"
    yield notes.all()


def _points(ring: str, told: Sequence[Told]) -> Iterator[str]:
    """Say where order has to be kept, and the strongest form that a needed pair asks for."""
    yield "### In short: where a back-end keeps order\n"
    rows = []
    for name, where in _all_points(ring):
        ours = [t for t in told if t.needed and (t.row.later if where == "after" else t.row.earlier) == name]
        if ours:
            comes = "after all stores before it" if where == "after" else "before all that follows"
            rows.append((_access(ring, name), comes, _at_point(form(min(ours, key=_weight)), where), _properties(ours)))
    yield _table(("access", "comes", "C11", "else a run violates"), rows)
    spare = sorted(frozenset[str]().union(*(one.spare for one in parts(ring))))
    if spare:
        names = ", ".join(f"`{point}`" for point in spare)
        yield (
            f"Besides, the searches of all at once kept {names} (what comes before or after that access). No pair of\n"
            "these was shown to be needed by itself; none was shown to be free either, and a signal fence costs\n"
            "nothing: keep them.\n"
        )


def _all_points(ring: str) -> list[tuple[str, str]]:
    every = [(name, "after") for p in parts(ring) for name in p.after]
    every += [(name, "before") for p in parts(ring) for name in p.before]
    return list(dict.fromkeys(every))


def _at_point(words: str, where: str) -> str:
    """Say where a pair's form goes, seen from the point: what keeps the processor keeps the compiler too."""
    ours, other = ("second", "first") if where == "after" else ("first", "second")
    beside = "before it" if where == "after" else "after it"
    for said in (
        f"for the {ours}",
        f"before the {ours}",
        f"after the {ours}",
        f"before the {other}",
        "between the two",
    ):
        words = words.replace(said, "for it" if said.startswith("for") else beside)
    return words


def _weight(told: Told) -> int:
    return 0 if (seen := told.answers.get(ARM.name)) and seen.run else 1


def _properties(told: Iterable[Told]) -> str:
    return ", ".join(sorted({a.run.violates for t in told for a in t.answers.values() if a.run}))


def _access(ring: str, name: str) -> str:
    """Name an access with the fields that it stores."""
    if is_load(name):
        step, field = name.split(" ")
        return f"`{step}` loads {field}"
    stores = {m.store.name: m.store for p in parts(ring) for m in _made(p).values() if m.store}
    return f"`{name}` stores {', '.join(sorted(stores[name].fields))}"


@cache
def _made(one: Part) -> dict[str, Made]:
    return made(protocol.table(one.subject), one.agent)


class _Notes:
    """The numbered notes of a ring: what was searched where nothing was found."""

    def __init__(self, ring: str) -> None:
        self._ring, self._notes = ring, dict[str, int]()

    def table(self, told: Iterable[Told]) -> str:
        """Write a row for each pair."""
        rows = [
            (
                _access(self._ring, t.row.earlier), _access(self._ring, t.row.later) + _choice(t),
                *(self._cell(t.answers[m.name]) for m in (COMPILER, ARM, X86)), form(t),
            )
            for t in told
        ]  # fmt: skip
        head = (
            "first",
            "second",
            "compiler, for the next process",
            "ARM, for the driver",
            "x86-64, for the driver",
            "C11",
        )
        return _table(head, rows)

    def _cell(self, answer: Answer) -> str:
        if answer.run:
            where = f"../proofs/recorded/{self._ring}/orders/{answer.run.file_name}"
            return f"needed: [{answer.run.violates}, {len(answer.run.events)} events]({where})"
        kind, _, why = answer.because.partition(": ")
        if kind == "bounded":
            return f"not found ({self._notes.setdefault(why, len(self._notes) + 1)})"
        return "keeps it" if kind == "by itself" else "proved not"

    def all(self) -> str:
        """Write them."""
        return "".join(f"{number}. {note}.\n" for note, number in self._notes.items())


def _choice(told: Told) -> str:
    _, _, choice = told.part.partition(" ")
    return f" ({choice})" if choice else ""


def _free(ring: str, joints: Sequence[Joint], told: Sequence[Told]) -> Iterator[str]:
    """Name the neighbours that nothing orders, and what was searched with all of them free."""
    yield f"### {len(told)} pairs of neighbours that nothing orders\n"
    together, alone = [j for j in joints if not j.moves], [j for j in joints if j.moves]
    yield (
        "All of them at once are left to the compiler, and to all that a processor may do besides, with nothing kept\n"
        "but the points above: no run violates a property (*bounded*), in "
        f"{sum(j.states for j in together)} states:\n"
    )
    yield "".join(f"- {line}\n" for line in dict.fromkeys(_searched(j) for j in together))
    states, ended = sum(j.states for j in alone), sum(j.complete for j in alone)
    yield (
        f"And each access by itself, while all others stay: {alone[0].level.text()}; {states} states, {ended} of\n"
        f"{len(alone)} searches to the end.\n"
    )
    rows = []
    for t in told:
        one = next(p for p in PARTS if p.subject.ring == ring and p.name == t.part)
        seen = "proved not" if unseen(one, t.row) else "not found, as above"
        compiler = seen if t.row.kind == STORE_LOAD else "not found, as above"
        rows.append((_access(ring, t.row.earlier), _access(ring, t.row.later) + _choice(t), compiler, seen))
    yield _table(("first", "second", "compiler, for the next process", "processor, for the driver"), rows)


def _searched(joint: Joint) -> str:
    end = "" if joint.complete else f", the first {joint.level.bounds.states} states"
    return f"{_side(joint.part)}{joint.level.text()}{end}"


def _side(part: str) -> str:
    _, _, choice = part.partition(" ")
    return f"{choice}: " if choice else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
