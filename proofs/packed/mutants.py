"""Mutants of the packed ring's text: a store dropped, two neighbours swapped, a guard weakened, an edit left out.

Drops and weakened guards are generated from the table, so that a new step brings its mutants along; swaps are written
by hand. Of `hardened`, each named edit left out is a mutant too: none of them is there for nothing.

Where nothing kills a mutant, proofs.packed.reasons says which store, order or guard is not needed, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from model.packed.quiet import NOTIFICATIONS
from model.packed.revisions import HARDENED_EDITS, MERGED, V6
from model.steps import Table
from proofs.challenges.mutating import drops, guards
from proofs.challenges.rounds import rounds
from proofs.induction.kits import Mutant
from proofs.packed.guards import GUARDS
from proofs.packed.serving_swaps import fetching_swaps, notification_swaps, supplying_swaps
from proofs.packed.swaps import recovery_swaps, start_swaps
from proofs.search.bounds import Bounds, Level

__all__ = ["mutants"]

THIRD_REQUEST = (Level(Bounds(2, 3, 1, states=800_000)),)
"""What is searched besides where an edit of `hardened` is left out or undone: a third request, hardly limited."""

SECOND_CRASH = (Level(Bounds(2, 2, 2, states=100_000)),)
"""What is searched besides where a store of recovery is dropped or swapped."""

IN_USE = (Level(Bounds(2, 2, 1, 0, 3)),)
"""What is searched besides where a region is initialised otherwise: a ring that has been in use."""

SLEEP = (
    Level(Bounds(2, 1, 1, states=200_000), notifications=True),
    Level(Bounds(2, 2, 0, states=100_000), notifications=True),
)
"""What is searched besides where a notification is changed."""

SETTLED = "guard packed.reconnect.1a: region.free_head != region.old_free_head"
"""Half of the edit settled-by-free-head."""

SIGNAL = "drop packed.reconnect.signal"
"""A notification too, though its step is one of recovery."""


def mutants(table: Table) -> tuple[Mutant, ...]:
    """Give the mutants of `hardened`, in the order of kind and step."""
    found = (
        *_edits(),
        *drops(table, NOTIFICATIONS, "packed.supply.7"),
        *start_swaps(table), *recovery_swaps(table), *fetching_swaps(table), *supplying_swaps(table),
        *notification_swaps(table),
        *guards(table, NOTIFICATIONS, GUARDS),
    )  # fmt: skip
    return (*(replace(mutant, further=_further(mutant)) for mutant in found), *rounds(table))


def _further(mutant: Mutant) -> tuple[Level, ...]:
    if "packed.init." in mutant.name:
        return IN_USE
    if mutant.kind == "edit" or mutant.name == SETTLED:
        return THIRD_REQUEST
    if mutant.notifies or mutant.name == SIGNAL:
        return SLEEP
    return SECOND_CRASH if mutant.kind != "guard" and "packed.reconnect" in mutant.name else ()


@dataclass(frozen=True)
class _Without:
    """The edit of a table of `hardened` that takes one of its named edits back."""

    name: str

    def apply(self, _table: Table) -> Table:
        """Give merged with the other named edits."""
        others = [edit for name, edits in HARDENED_EDITS.items() if name != self.name for edit in edits]
        return V6.edited((*MERGED, *others))


def _edits() -> Iterator[Mutant]:
    for name in HARDENED_EDITS:
        yield Mutant(f"edit {name}", "edit", f"The edit {name} is left out.", (_Without(name),))
