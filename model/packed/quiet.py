"""The packed ring without notifications, for the search of what does not depend on them; see model.split.quiet."""

from __future__ import annotations

from dataclasses import replace

from model.steps import Replace, Table

__all__ = ["NOTIFICATIONS", "quiet"]

NOTIFICATIONS: tuple[str, ...] = (
    "packed.idle.arm", "packed.idle.unarmed", "packed.idle.look", "packed.idle.wake", "packed.idle.disarm",
    "packed.notify.look", "packed.notify.index", "packed.notify.call", "packed.notify.none",
    "driver.kick.look", "driver.kick.1", "driver.kick.none",
    "driver.sleep.index", "driver.sleep.1", "driver.sleep.again", "driver.sleep.2", "driver.wake", "driver.wake.quiet",
)  # fmt: skip


def quiet(table: Table) -> Table:
    """Leave the notifications out; what led to them leads to where they lead.

    With signal-when=after-publish nothing but the last round of a loop (supplying, 7) leads to them: without them the
    step after the loop begins where it ends, as it does by default.
    """
    skip = {
        table.step("packed.notify.look").at[0]: table.step("packed.notify.call").to,
        table.step("driver.kick.look").at[0]: table.step("driver.kick.1").to,
    }
    if skip.pop("flags", None):
        table = table.edited([Replace("packed.supply.8", {"at": ("flags", "clear")})])
    changed = {
        s.id: () if s.id in NOTIFICATIONS else (replace(s, to=skip.get(s.to, s.to)) if s.to else s,)
        for s in table.steps.values()
    }
    return table.with_steps(changed).edited([Replace("packed.fetch.look", {"at": ("look", "take", "rest")})])
