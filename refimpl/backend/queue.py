"""What differs between split and packed rings of the back-end: laying one, its region, its queue, its requests."""

import ctypes
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from refimpl.backend.dirty import Area
from refimpl.backend.disk import BlkRequest
from refimpl.backend.disk_queue import BlkQueue
from refimpl.backend.memory import MappedMemory, prepare
from refimpl.choices import Choices
from refimpl.errors import FrontEndError
from refimpl.hooks import Hook
from refimpl.layout import region_at, region_size
from refimpl.memory import SharedMemory
from refimpl.packed.chain import read_packed_chain
from refimpl.packed.queue import PackedQueue
from refimpl.packed.recover import prepare_packed_region
from refimpl.packed.ring import EVENT_BYTES, PackedRing, base_at, used_place
from refimpl.split.chain import read_chain
from refimpl.split.queue import SplitQueue
from refimpl.split.ring import SplitRing
from refimpl.split.state import Counter
from refimpl.wire.payload import VRING_LOG, VringAddress

Ring = SplitRing | PackedRing
Queue = SplitQueue | PackedQueue

_IN_BATCH: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "never": frozenset[str](),
        "until-publish": frozenset({"split.supply.3", "packed.supply.4"}),
        "always": frozenset({"split.supply.3", "split.supply.6", "packed.supply.4", "packed.supply.8"}),
    }
)


def fetches_after(choices: Choices, step: str) -> bool:
    """Return whether more is fetched after a step of a batch (gap fetch-in-batch)."""
    return step in _IN_BATCH[choices.fetch_in_batch]


def first_base(ring: str) -> int:
    """Return what GET_VRING_BASE says of a ring that has not run: packed, both wrap counters are 1."""
    return base_at(0, 1) if ring == "packed" else 0


def lay_ring(kind: str, size: int, address: VringAddress, memory: MappedMemory, what: str) -> Ring:
    """Lay a ring over the memory that the front-end described; ``what`` names it. Raises FrontEndError.

    On a packed ring the addresses of the available and of the used ring are those of the driver's and of the device's
    event suppression area.
    """
    desc = memory.at_user(address.desc, 16 * size, f"{what}, descriptors")
    if kind == "packed":
        driver = memory.at_user(address.avail, EVENT_BYTES, f"{what}, driver event area")
        device = memory.at_user(address.used, EVENT_BYTES, f"{what}, device event area")
        return PackedRing(size, desc, driver, device, blame=FrontEndError)
    avail = memory.at_user(address.avail, 6 + 2 * size, f"{what}, available ring")
    used = memory.at_user(address.used, 6 + 8 * size, f"{what}, used ring")
    return SplitRing(size, desc, avail, used, blame=FrontEndError)


def lay_again(queue: Queue, ring: Ring) -> None:
    """Let a running queue use its ring where it is now."""
    if isinstance(queue, PackedQueue):
        assert isinstance(ring, PackedRing)
        queue.ring = ring
    else:
        assert isinstance(ring, SplitRing)
        queue.ring = ring


def written_areas(ring: Ring, address: VringAddress, memory: MappedMemory) -> list[Area]:
    """Return the parts of a ring that the device writes, if they are to be logged, else none.

    Those are the used ring with the event index behind it; of a packed ring, whose part called used is the device's
    event area, the descriptors too. Raises FrontEndError when those are in no region of memory.
    """
    if not address.flags & VRING_LOG:
        return []
    if isinstance(ring, PackedRing):
        slots = Area(ctypes.addressof(ring.desc), 16 * ring.size, memory.guest_address(address.desc))
        return [slots, Area(ctypes.addressof(ring.device_event), EVENT_BYTES, address.log)]
    return [Area(ctypes.addressof(ring.used), 6 + 8 * ring.size, address.log)]


def private_region(choices: Choices, size: int, base: int) -> Any:
    """Return a region that nobody else sees, for a front-end that wants no tracking.

    Of a packed ring nothing says where the used position is but SET_VRING_BASE, so it is put into the region. Raises
    FrontEndError when ``base`` names a slot that the ring does not have.
    """
    with SharedMemory.create(region_size(choices.ring, choices.revision, size), "vhost-untracked") as memory:
        region = region_at(memory.view(), choices.ring, choices.revision, size)
    if choices.ring == "packed":
        prepare_packed_region(region, *used_place(base, size))
    elif choices.init_order == "before-hand-over":
        prepare(region, choices)
    return region


def set_fetch_position(queue: Queue, base: int) -> None:
    """Let fetching on a packed ring without tracking go on where SET_VRING_BASE says."""
    if isinstance(queue, PackedQueue):
        queue.avail_idx, queue.avail_wrap = base & 0x7FFF, base >> 15 & 1


def starved(queue: Queue) -> bool:
    """Return whether a request waits for entries of a region smaller than the ring (gap region-size) to come back."""
    return isinstance(queue, PackedQueue) and queue.seen and not queue.available


def position(queue: Queue) -> int:
    """Return where fetching goes on, as GET_VRING_BASE says it."""
    return queue.vring_base if isinstance(queue, PackedQueue) else queue.last_avail


def place_of(queue: Queue) -> str:
    """Say where fetching goes on, for a log."""
    if isinstance(queue, PackedQueue):
        return f"slot {queue.avail_idx} with wrap counter {queue.avail_wrap}"
    return f"index {queue.last_avail}"


def make_queue(
    ring: Ring,
    region: Any,
    choices: Choices,
    hook: Hook,
    blk: BlkQueue,
    *,
    base: int,
    kick_taken: Callable[[], None],
    call: Callable[[], None],
    counter: Counter,
    event_index: bool,
    strict: bool,
) -> Queue:
    """Return the queue of a ring, not yet started, whose requests go to ``blk``.

    ``base`` is what SET_VRING_BASE said. Raises FrontEndError when it names a slot that a packed ring does not have.
    """
    common: dict[str, Any] = {
        "submit": blk.submit,
        "kick_taken": kick_taken,
        "call": call,
        "used_len": blk.used_len,
        "counter": counter,
        "event_index": event_index,
        "strict": strict,
    }
    if isinstance(ring, PackedRing):
        place = (0, 1) if region.version else used_place(base, ring.size)
        return PackedQueue(ring, region, choices, hook, base=place, **common)
    return SplitQueue(ring, region, choices, hook, **common)


def read_request(queue: Queue, memory: MappedMemory, head: int) -> BlkRequest:
    """Read the request that the queue submits as ``head``. Raises DriverError for a wrong chain."""
    if isinstance(queue, PackedQueue):
        chain = read_packed_chain(queue.given, memory.guest, head, queue.ring.size)
        return BlkRequest(head, chain, queue.given[-1].id)
    return BlkRequest(head, read_chain(queue.ring, memory.guest, head))
