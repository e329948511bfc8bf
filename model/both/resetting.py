"""The reset of one ring by its driver (VIRTIO_F_RING_RESET), as edits of either ring's table."""

from __future__ import annotations

from typing import Any

from model.both.words import RUNNING
from model.gaps import Edits
from model.record import State, Vars, assign_initial
from model.steps import Add, Edit, Guard, HistoryOf, Procedure, Table
from model.terms import ModelError, all_of, any_of

__all__ = ["resets"]

_reset = Procedure("reset")


def resets(variables: Vars, between: tuple[str, ...]) -> dict[str, Edits]:
    """Give what may happen to a ring that is reset while its back-end lives, by name."""

    def idle(s: Any) -> Any:
        at_rest = any_of(*(s.fetch.at == label for label in between))
        return all_of(s.recover.at == RUNNING, at_rest, s.supply.at == "idle")

    kinds = {
        "told": ("The ring is reset and its back-end is told: a new driver, a new ring, a new share of the region.",
                 ("region", "ring", "eventfd", "volatile", "driver"), idle),
        "kept": ("The ring is reset and its back-end is told: a new driver, a new ring, its share of the region kept.",
                 ("ring", "eventfd", "volatile", "driver"), idle),
        "untold": ("The ring is reset, and nobody tells the back-end: a new driver and a new ring.",
                   ("ring", "eventfd", "driver"), lambda s: s.recover.at == RUNNING),
    }  # fmt: skip

    def one(sentence: str, anew: tuple[str, ...], when: Guard) -> Edits:
        def edits(table: Table) -> list[Edit]:
            if "stop.answer" in table.steps:
                raise ModelError("the reset of a ring is judged of rings that are not stopped")

            def effect(s: State) -> None:
                assign_initial(s, [v.name for v in variables.values() if v.kind in anew])

            effect.__doc__ = sentence
            step = _reset.step("ring.reset", text="virtio: virtqueue reset", world=True, when=when)(effect)
            return [Add(step), HistoryOf("ring.reset", table.history["driver.reset"])]

        return edits

    return {name: one(*kind) for name, kind in kinds.items()}
