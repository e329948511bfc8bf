"""What recovery does once for each slot or entry: each look and each store is made after the report of the one before.

Whoever listens may act in between, as the driver and a front-end do beside a real back-end.
"""

import pytest

from refimpl.memory import store
from refimpl.packed.ring import used_flags
from tests.refimpl.packed_rig import PackedRig


@pytest.mark.reaches("packed.reconnect.unmark.look", "packed.reconnect.unmark")
def test_each_look_comes_after_the_report_of_the_last() -> None:
    """A slot that is marked used meanwhile is seen by the look at it, and by none that was before."""
    rig = PackedRig(revision="hardened")
    rig.started()

    def mark(step: str, _choice: int | None) -> None:
        if step == "packed.reconnect.unmark.look" and rig.ids().count(step) == 2:
            for slot in (1, 3):
                store(rig.ring.desc[slot], "flags", used_flags(1))

    rig.steps.clear()
    rig.on_step = mark
    rig.queue().start()
    look = "packed.reconnect.unmark.look"
    assert [step for step in rig.ids() if "unmark" in step] == [look, look, look, "packed.reconnect.unmark"]
    assert [flags == used_flags(1) for flags in rig.flags()] == [False, True, False, False]


@pytest.mark.reaches("packed.reconnect.3")
def test_the_free_list_is_followed_entry_by_entry() -> None:
    """Where the list leads is read after the entry's mark was cleared and reported."""
    rig = PackedRig(revision="hardened")
    rig.started()

    def shorten(step: str, _choice: int | None) -> None:
        if step == "packed.reconnect.3" and rig.ids().count(step) == 2:
            store(rig.region.desc[1], "next", 4)

    rig.steps.clear()
    rig.on_step = shorten
    rig.queue().start()
    assert rig.ids().count("packed.reconnect.3") == 2
