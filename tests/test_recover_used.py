"""What a ring shows as used is found all at once; slot by slot, as the text of a driver reads it, the same is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.layout import DESC_AVAIL, DESC_USED, PackedDesc
from refimpl.packed.ring import PackedRing, is_available, is_used
from tests.refimpl.packed_rig import PackedRig
from tests.test_recover import state
from vhost_inflight.recover import parse
from vhost_inflight.recover.chains import Descriptor
from vhost_inflight.recover.record import Recovery, Resubmitted
from vhost_inflight.recover.used import _newest_first, shown_as_used

FLAGS = st.sampled_from(
    [marks | more for marks in (0, DESC_AVAIL, DESC_USED, DESC_AVAIL | DESC_USED) for more in (0, 3)]
)


class Slot(NamedTuple):
    """The descriptor in a slot."""

    flags: int
    identity: int
    address: int


def one_by_one(
    ring: PackedRing, slots: list[Slot], first: int, wrap: int, requests: dict[int, Resubmitted]
) -> Iterator[tuple[int, int, bool]]:
    """Yield entry, slot and whether it is visible, as a driver would find them that goes from slot to slot."""
    lap = [ring.advance(first, wrap, number) for number in range(ring.size)]
    met, waiting = 0, set()
    for position, (slot, there) in enumerate(lap):
        flags, identity, address = slots[slot]
        if is_available(flags, there):
            waiting.add(address)
        if is_used(flags, there):
            request = requests.get(identity)
            if request is not None:
                yield request.entry, slot, position == met
            if position == met:
                met += len(request.descriptors) if request is not None else 1
    for slot, there in reversed(lap):
        if is_used(slots[slot].flags, there ^ 1):
            request = requests.get(slots[slot].identity)
            if request is not None and request.descriptors[0].address not in waiting:
                yield request.entry, slot, True
            return


@settings(deadline=None)
@given(
    st.lists(st.builds(Slot, FLAGS, st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=9),
    st.integers(0, 8),
    st.integers(0, 1),
    st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1),
)
def test_any_packed_ring(slots: list[Slot], first: int, wrap: int, inflight: dict[int, tuple[int, int]]) -> None:
    """Whatever the marks, ids and addresses of its slots, and whatever is resubmitted."""
    size, first = len(slots), first % len(slots)
    rig = PackedRig(size=size)
    rig.region.used_idx, rig.region.used_wrap_counter = first, wrap
    for slot, desc in zip(slots, rig.ring.desc, strict=True):
        desc.flags, desc.id, desc.addr = slot
    told = parse(state(rig))
    resubmitted = [
        Resubmitted(entry, identity, 0, (Descriptor(address, 0, 0, identity),) * length)
        for entry, (identity, (address, length)) in enumerate(inflight.items())
    ]
    memory = {"region": told.region, **told.parts}
    found = shown_as_used(Recovery(told, memory, memory, resubmitted=resubmitted))
    wanted: dict[int, tuple[int, int, bool]] = {}
    for one in one_by_one(rig.ring, slots, first, wrap, {request.identity or 0: request for request in resubmitted}):
        wanted.setdefault(one[0], one)
    assert [(shown.request.entry, shown.slot, shown.visible) for shown in found] == list(wanted.values())


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 65535))
def test_newest_first(power: int, idx: int) -> None:
    """What was put at one less than the index comes first, whatever was put where."""
    size = 1 << power
    elements = [100 + slot for slot in range(size)]
    assert _newest_first(elements, idx) == [elements[(idx - back) % 65536 % size] for back in range(1, size + 1)]


def test_flags_of_a_ring() -> None:
    """They are the descriptors' own, as they are now, and are not to be stored to."""
    rig = PackedRig(size=3)
    for number, desc in enumerate(rig.ring.desc):
        desc.addr, desc.len, desc.id, desc.flags = 1 << 63, 1 << 31, 1 << 15, number + 1
    assert list(rig.ring.flags) == [1, 2, 3]
    rig.ring.desc[1].flags = 9
    assert rig.ring.flags[1] == 9
    assert rig.ring.flags.readonly
    assert rig.ring.flags.itemsize == PackedDesc.flags.size
