"""The states in which the defects of the packed ring's text show: where their recorded runs crash first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from model import protocol
from model.interpret import Sizes
from model.protocol import Subject
from proofs.verdicts import recorded_folder
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.images import STYLES
from vhost_inflight.vectors.served import BackEnd
from vhost_inflight.vectors.states import Memory, outcomes, vector_of

__all__ = ["errata_vectors"]

_RUNS: Final = {
    "whole-ring": ("whole-ring", "corrupts"),
    "whole-ring-lost": ("whole-ring", "loses"),
    "marked-used": ("marked-used", "corrupts"),
    "half-settled": ("half-settled", "corrupts"),
}
"""By file: the defect, and what it does to a guest. half-rolled-back is no run of the published text, and no-order one
of v6's layout: other vectors are about them, by what they catch."""


def errata_vectors() -> Iterator[Vector]:
    """Give the bytes with which merged goes wrong, and the answer of hardened."""
    subject = Subject("packed", "merged")
    merged = BackEnd(subject, table=protocol.table(subject, quiet=True))  # the runs have no notifications
    for name, (defect, severity) in _RUNS.items():
        text = (recorded_folder("packed") / "errata" / f"{name}.json").read_text(encoding="utf-8")
        run = json.loads(text)
        sizes = Sizes(run["queue_size"], run["region_size"], run["first_index"])
        made = merged.made(sizes, STYLES["plain"])
        state, step = made.machine.initial(), ""
        for event in run["schedule"]:
            if event[0] == "crash":
                break
            step, after = event[0], made.machine.one(event[0])(state, event[1] if len(event) > 1 else -1)
            assert after is not None, (name, event)
            state = after
        given = Memory(made.images.parts(state)).given("packed", "hardened", sizes, made.images)
        vector = vector_of(f"packed-hardened-erratum-{name}", given, step, ("erratum", defect))
        note = f"The defect {defect} of the published text: {protocol.errata()[defect].about}. See docs/errata.md."
        vector = replace(vector, note=note, severity=severity)
        yield replace(vector, outcomes=outcomes(vector))
