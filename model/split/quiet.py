"""The split ring without notifications, for the search of what does not depend on them.

Leaving notifications out is sound for every property but `drains`: their steps store to nothing that a guard or a
judgement of another step reads, except that a driver that sleeps and a back-end that rests do *less*. What remains is a
driver that never sleeps and a back-end that never rests: it has every run of the others, with the waiting cut out.
tests/model/test_quiet.py checks both halves of that sentence on the recorded table, and the searches on small sizes.
"""

from __future__ import annotations

from dataclasses import replace

from model.split.serve import BETWEEN
from model.steps import Replace, Table

__all__ = ["NOTIFICATIONS", "OF_PROFILES", "quiet"]

NOTIFICATIONS: tuple[str, ...] = (
    "split.idle.arm", "split.idle.unarmed", "split.idle.look", "split.idle.wake",
    "split.notify.look", "split.notify.call", "split.notify.none",
    "driver.kick.look", "driver.kick.1", "driver.kick.none",
    "driver.sleep.1", "driver.sleep.again", "driver.sleep.2", "driver.wake",
)  # fmt: skip

OF_PROFILES: tuple[str, ...] = ("split.idle.again", "split.idle.same", "split.idle.rest")
"""Those that only back-ends of others have."""


def quiet(table: Table) -> Table:
    """Leave the notifications out; what led to them leads to where they lead."""
    skip = {
        table.step("split.notify.look").at[0]: table.step("split.notify.call").to,
        table.step("driver.kick.look").at[0]: table.step("driver.kick.1").to,
    }
    if (arm := table.steps.get("split.idle.arm")) and arm.at[0] not in BETWEEN:
        skip[arm.at[0]] = "take"
    changed = {
        s.id: () if s.id in (*NOTIFICATIONS, *OF_PROFILES) else (replace(s, to=skip.get(s.to, s.to)) if s.to else s,)
        for s in table.steps.values()
    }
    return table.with_steps(changed).edited([Replace("split.fetch.look", {"at": ("look", "take", "rest")})])
