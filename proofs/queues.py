"""Several queues of one process, with their regions in one buffer: no step of one changes anything of another's.

Each property is proved of one queue. That it holds of each of several follows from what is shown here, each time that
`verify` runs (docs/architecture.md, *Several queues*, has the argument):

- **regions**: for any number of queues and entries, rounded up or not, the regions have no byte in common, are inside
  the buffer, and contain the fields of their entries (`regions`, by Z3);
- **stores**: each store of each step goes to a field of its own region's or ring's, at an element that there is; the
  latter is a goal of the induction, so it is known where something is proved (`stores`);
- **variables**: a step reads and writes variables of one queue alone (`variables`). What a gap shares is named, and
  what another queue does to it is a step that the proof has (`queue.other`), or nothing that it speaks of (`shared`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import z3

from model import layout, protocol
from model.layout import Field, Region, Struct
from model.record import Assign, Var, c_field
from model.steps import Recorded, Table
from model.terms import ModelError, Term, walk
from proofs.induction.engine import Outcome, groups_for, proof_of
from proofs.induction.show import by_z3
from proofs.induction.solver import Ask, Translator

__all__ = ["ALIGNMENTS", "QUEUES", "Checked", "check", "fields", "regions", "shared", "stores", "variables"]

QUEUES, ENTRIES = 65535, 65535
"""The most that the payload's 16 bits can say; rings have 32768 at most, and a region may have more entries."""

ALIGNMENTS = (layout.ALIGNMENT, layout.C_ALIGNMENT, 1)
"""What regions are rounded up to: 64 bytes, what C calls the structure's size, or nothing at all."""

OF_ONE_QUEUE = frozenset({"region", "ring", "eventfd", "volatile", "driver", "ghost"})
"""Kinds of variables that each queue has for itself."""

OTHER = "queue."
"""What the ids of steps begin with that another queue of the device takes."""

AT_ONCE = frozenset({"crash", "driver.reset", "connection.reset"})
"""What happens to all queues at once, to each as the step says. A reset stores nothing: it comes with new memory."""

Inside = Callable[[str, str], bool]
"""Whether it was shown that a step, by its id, stores to a variable at an element that there is."""


@dataclass
class Checked:
    """What was looked at: stores, each once; whether something is proved of each subject; and what is wrong."""

    stores: set[tuple[str, str]] = field(default_factory=set)
    all_proved: bool = True
    faults: list[str] = field(default_factory=list)


def check(ring: str, subjects: Iterable[protocol.Subject], outcome: Outcome, ask: Ask = by_z3) -> Checked:
    """Check all that is said above of the subjects of a ring, and of what was proved of them."""
    found = Checked()
    if not ask("a product of numbers that are not negative", [], _product(*z3.Ints("one other"))):
        found.faults.append("a product of numbers that are not negative may be negative")
    for revision in layout.REVISIONS:
        for alignment in ALIGNMENTS:
            found.faults += regions(layout.region(ring, revision), alignment, ask)
    steps: dict[tuple[object, ...], Recorded] = {}
    for subject in subjects:
        table = protocol.table(subject)
        recorded = [_recorded(steps, table, step_id) for step_id in table.steps]
        found.stores |= {(r.step.id, a.name) for r in recorded for a in _outside(table, r)}
        faults = [*fields(layout.region(ring, _memory(subject.base)), table, recorded)]
        faults += variables(table, recorded, _shared_by(subject))
        if outcome.properties(subject):
            faults += [
                *stores(table, recorded, _shown(subject, outcome)),
                *shared(subject, table, recorded, outcome, ask),
            ]
        else:
            found.all_proved = False
        found.faults += [f"{ring} {subject.name}: {fault}" for fault in faults]
    return found


def _recorded(known: dict[tuple[object, ...], Recorded], table: Table, step_id: str) -> Recorded:
    """Record a step, once for all the tables that have it as it is."""
    step = table.step(step_id)
    key = step, id(table.vars), table.guards[step.procedure], table.history.get(step_id)
    if key not in known:
        known[key] = table.record(step)
    return known[key]


def _memory(revision: str) -> str:
    return revision if revision in layout.REVISIONS else layout.REVISIONS[-1]  # hardened changes steps alone


# Regions.


def _product(one: Any, other: Any) -> Any:
    """Say that a product of two numbers that are not negative is not negative."""
    return z3.Implies(z3.And(one >= 0, other >= 0), one * other >= 0)


def regions(region: Region, alignment: int, ask: Ask = by_z3) -> Iterator[str]:
    """Give what does not hold of the regions of a buffer: for any number of queues, of any number of entries."""
    one, other, queues, entries, index, distance = z3.Ints("one other queues entries index distance")
    apart, exact = region.size(entries, alignment=alignment), region.offset(entries)
    exact += -exact % min(alignment, layout.C_ALIGNMENT)

    def far(offset: Any) -> Any:
        """Write the distance of two regions as a number of which only one thing is known, shown first."""
        return z3.substitute(offset, (apart, distance))

    def start(queue: Any) -> Any:
        return far(region.start(queue, entries, alignment=alignment))

    sizes = [entries >= 1, entries <= ENTRIES, queues >= 1, queues <= QUEUES]
    steps = (one, other - one - 1, queues - one - 1, queues - 1)
    both = [*sizes, one >= 0, one < queues, other >= 0, other < queues, distance >= exact]
    both += [_product(distance, step) for step in steps]  # asked by itself: cvc5 takes its own way otherwise
    first, second = start(one), start(other)
    end = far(region.buffer(queues, entries, alignment=alignment))
    at, after = region.offset(index), region.offset(index) + region.entry.size
    said = (
        ("a region is longer than the distance to the next", sizes, apart >= exact),
        ("the region of one queue begins before that of the queue before it ends",
         [*both, one < other], first + exact <= second),
        ("a region is not inside the buffer", both, z3.And(first >= 0, first + exact <= end)),
        ("a buffer of whole regions is too small", both, end <= far(queues * apart)),
        ("the header is not before the entries", [*sizes, index >= 0], at >= region.header.size),
        ("an entry is not inside its region", [*sizes, index >= 0, index < entries], after <= exact),
    )  # fmt: skip
    for fault, facts, goal in said:
        name = f"{region.ring} {region.revision}, rounded up to {alignment}: {fault}"
        if not ask(name, facts, goal):
            yield name


# Stores.


def _outside(table: Table, recorded: Recorded) -> list[Assign]:
    """Give a step's stores to memory: to the region and to the ring."""
    if recorded.step.id in AT_ONCE:
        return []
    return [a for a in recorded.assigns if table.vars[a.name].kind in ("region", "ring")]


def fields(region: Region, table: Table, recorded: Iterable[Recorded]) -> Iterator[str]:
    """Give the stores to the region that are no store of a field of its, as wide as that or less."""
    for one in recorded:
        for assign in _outside(table, one):
            if table.vars[assign.name].kind == "region" and not _is_field(region, table.vars[assign.name]):
                yield f"{one.step.id} stores {assign.name}, which is no such field of {region.revision}"


def _is_field(region: Region, var: Var) -> bool:
    _, _, name = c_field(var.name).partition(".")
    struct, name = (region.entry, name.removeprefix("desc[].")) if "[]" in name else (region.header, name)
    if name == "last_batch_head" and region.revision == "v6":
        name = "process_head"
    try:
        found = struct.field(name)
    except ModelError:
        return False
    return 0 < var.width <= 8 * found.width and _inside(found, struct)


def _inside(one: Field, struct: Struct) -> bool:
    return one.offset >= 0 and one.offset + one.width <= struct.size


def stores(table: Table, recorded: Iterable[Recorded], shown: Inside) -> Iterator[str]:
    """Give the stores to an element of the region or of the ring of which it was not shown that there is one."""
    for one in recorded:
        for assign in _outside(table, one):
            if isinstance(assign.index, Term) and not shown(one.step.id, assign.name):
                yield f"{one.step.id} may store {assign.name} past the end"


def _shown(subject: protocol.Subject, outcome: Outcome) -> Inside:
    """Look the goals up that say that an element is there."""
    there = {(q.work, q.name): q for q in outcome.asked[subject] if q.kind == "fits"}

    def shown(step_id: str, name: str) -> bool:
        query = there.get((step_id, f"{name} has the element"))
        return query is not None and outcome.result(subject, query).status == "proved"

    return shown


# Variables.


def _shared_by(subject: protocol.Subject) -> frozenset[str]:
    """Give the variables that the queues of a device share: the counter, where the gap says so."""
    return frozenset({"counter"} if subject.choice("counter-scope") != "queue" else ())


def _reads(recorded: Recorded) -> set[str]:
    assigns = (*recorded.assigns, *recorded.history)
    indexes = (a.index for a in assigns if isinstance(a.index, Term))
    return _read_in([recorded.guard, *(a.value for a in assigns), *indexes])


def _read_in(terms: Iterable[Term]) -> set[str]:
    return {str(node.args[0]) for term in terms for node in walk(term) if node.op in ("var", "at")}


def _writes(recorded: Recorded) -> set[str]:
    return {a.name for a in (*recorded.assigns, *recorded.history)}


def variables(table: Table, recorded: Iterable[Recorded], common: frozenset[str]) -> Iterator[str]:
    """Give what a step reads or writes that is of no queue, and what another queue's step writes of this one's."""
    for one in recorded:
        touched = {"reads": _reads(one), "writes": _writes(one)}
        for what, names in touched.items():
            for name in sorted(n for n in names if table.vars[n].kind not in OF_ONE_QUEUE):
                yield f"{one.step.id} {what} {name}, which does not belong to one queue"
        if one.step.id.startswith(OTHER):
            for name in sorted(touched["writes"] - common):
                yield f"{one.step.id} is another queue's step, and writes {name} of this one's"


def shared(
    subject: protocol.Subject, table: Table, recorded: Sequence[Recorded], outcome: Outcome, ask: Ask = by_z3
) -> Iterator[str]:
    """Give the steps that, taken by another queue, change something that the queues share in a way not reckoned with.

    Such a step is what `queue.other` does, or nothing that is proved speaks of what it changes. Recovery with
    ``device-greatest`` is not looked at: that it never lowers the counter, which `queue.other` can do as well, is what
    the choice says. What happens to all queues at once (a crash, a reset) is each one's own step.
    """
    common = _shared_by(subject)
    spoken = _spoken_of(subject, outcome.properties(subject)) & common if common else frozenset()
    others = [r for r in recorded if r.step.id.startswith(OTHER)]
    for one in recorded:
        recovers = one.step.procedure == "recover" and subject.choice("counter-scope") == "device-greatest"
        exempt = recovers or one in others or one.step.id in AT_ONCE
        for name in sorted(_writes(one) & spoken) if not exempt else ():
            if not any(_does_the_same(table, other, one, name, ask) for other in others):
                yield f"{one.step.id}, taken by another queue, changes {name} as no step {OTHER}* does"


def _spoken_of(subject: protocol.Subject, properties: Iterable[str]) -> frozenset[str]:
    """Give all variables that the sentences speak of on which some properties rest."""
    groups, atoms = groups_for(properties), proof_of(subject).atoms.values()
    return frozenset(name for atom in atoms if atom.group in groups for name in atom.reads)


def _does_the_same(table: Table, other: Recorded, one: Recorded, name: str, ask: Ask) -> bool:
    """Whether another queue's step, with the choice 0, leaves in a scalar what a step does.

    What a step computes of more than that scalar is of the other queue's own variables, so nothing can be said of it.
    """
    values = [a.value for r in (other, one) for a in r.assigns if a.name == name]
    if len(values) != 2 or any(_read_in([value]) - {name} for value in values):
        return False
    translator = Translator(table)
    theirs, its = (translator.expr(value, translator.world("")) for value in values)
    said = f"{table.ring}: {other.step.id} does to {name} as {one.step.id}"
    return ask(said, [translator.choice == 0], theirs == its)
