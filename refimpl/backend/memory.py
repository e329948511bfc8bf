"""What a back-end has mapped for one connection: the guest's memory, and the regions of the queues."""

from typing import Any, Final

from refimpl.choices import Choices
from refimpl.errors import DriverError, FrontEndError, UsageError
from refimpl.layout import HEADER_PADDING, region_at, region_size
from refimpl.memory import SharedMemory
from refimpl.names import counted
from refimpl.packed.recover import prepare_packed_region
from refimpl.split.chain import GuestMemory, GuestRegion
from refimpl.split.recover import prepare_region
from refimpl.wire.payload import Inflight, MemoryRegion

MEM_SLOTS: Final = 64
"""Most regions of guest memory at a time, counting those added one by one, where nobody says otherwise."""

TABLE_REGIONS: Final = 8
"""Most regions that come as one table."""


class MappedMemory:
    """The guest's memory in its two address spaces: ``guest`` for descriptors, and the front-end's own for rings."""

    def __init__(self, slots: int = MEM_SLOTS) -> None:
        """Begin with nothing mapped; ``slots`` is how many regions there may be, though a table always fits."""
        self.slots = max(slots, TABLE_REGIONS)
        self.guest = GuestMemory()
        self._user = GuestMemory()
        self._files: dict[MemoryRegion, SharedMemory] = {}

    def add(self, region: MemoryRegion, fd: int) -> None:
        """Map a region; ``fd`` stays the caller's. One with the same addresses and size is replaced.

        QEMU adds the same region again at each start of the device, on one connection, without removing it.

        Raises FrontEndError for a file that is too short or cannot be mapped, a region that overlaps another in either
        address space, leaves 64 bits or is empty, and for too many of them; nothing is changed then.
        """
        if self._known(region) is None and len(self._files) >= self.slots:
            raise FrontEndError(f"more than {self.slots} regions of memory")
        memory = SharedMemory.map(fd, region.size, region.mmap_offset, blame=FrontEndError)
        try:
            if self._known(region) is not None:
                self.remove(region)
            self.guest.add(GuestRegion(region.guest_address, memory.view()))
            try:
                self._user.add(GuestRegion(region.user_address, memory.view()))
            except FrontEndError:
                self.guest.remove(region.guest_address, region.size)
                raise
        except FrontEndError:
            memory.close()
            raise
        self._files[region] = memory

    def remove(self, region: MemoryRegion) -> None:
        """Unmap a region, known by its addresses and size. Raises FrontEndError when it is not there."""
        known = self._known(region)
        if known is None:
            raise FrontEndError(f"there is no region of {region.size} bytes at {region.guest_address:#x} to remove")
        self.guest.remove(region.guest_address, region.size)
        self._user.remove(region.user_address, region.size)
        self._files.pop(known).close()

    def _known(self, region: MemoryRegion) -> MemoryRegion | None:
        """Return the mapped region that has the addresses and the size of ``region``."""
        wanted = (region.guest_address, region.size, region.user_address)
        same = (known for known in self._files if (known.guest_address, known.size, known.user_address) == wanted)
        return next(same, None)

    def clear(self) -> None:
        """Unmap everything."""
        for region in list(self._files):
            self.remove(region)

    def at_user(self, address: int, length: int, what: str) -> memoryview:
        """Return ``length`` bytes at a user address of the front-end. Raises FrontEndError, naming ``what``."""
        if not self._files:
            raise FrontEndError(
                f"{what}: no memory was given on this connection (QEMU 7.2 does not repeat it after a pause in which "
                "a back-end died, unless it comes as one table: --mem-slots 0)"
            )
        try:
            return self._user.translate(address, length)
        except DriverError as error:
            raise FrontEndError(f"{what}: {error.rule}") from error

    def guest_address(self, user: int) -> int:
        """Return the guest address of what is mapped at a user address. Raises FrontEndError without a region there."""
        for region in self._files:
            if 0 <= user - region.user_address < region.size:
                return user - region.user_address + region.guest_address
        raise FrontEndError(f"no region of memory has the user address {user:#x}")


class InflightBuffer:
    """The shared buffer that holds the region of each queue, as the front-end handed it over."""

    def __init__(self, payload: Inflight, fd: int, queues: int, choices: Choices, stride: str = "64") -> None:
        """Map it; ``fd`` stays the caller's. The regions are those of the ring of ``choices``, ``stride`` apart.

        Raises FrontEndError for a number or size of queues that cannot be, a buffer too small for them, a file too
        short for the buffer, and a misaligned offset.
        """
        check_inflight(payload, queues)
        self.payload = payload
        self.choices = choices
        self._stride = region_size(choices.ring, choices.revision, payload.queue_size, stride)
        self._size = region_size(choices.ring, choices.revision, payload.queue_size, "none")
        if payload.mmap_size < (payload.num_queues - 1) * self._stride + self._size:
            raise FrontEndError(f"SET_INFLIGHT_FD: {self._too_few(payload)}")
        self._memory = SharedMemory.map(fd, payload.mmap_size, payload.mmap_offset, blame=FrontEndError)
        try:
            self.region(0)
        except UsageError as error:
            self._memory.close()
            raise FrontEndError(f"SET_INFLIGHT_FD: {error.rule}") from error

    def region(self, queue: int) -> Any:
        """Return the region of one queue, laid over the buffer. Raises FrontEndError when the buffer has none."""
        if queue >= self.payload.num_queues:
            raise FrontEndError(
                f"the shared buffer has regions for {counted(self.payload.num_queues, 'queue')}, not for {queue}"
            )
        view = self._memory.view(queue * self._stride, self._size)
        return region_at(view, self.choices.ring, self.choices.revision, self.payload.queue_size)

    def close(self) -> None:
        """Unmap."""
        self._memory.close()

    def _too_few(self, payload: Inflight) -> str:
        """Say that the buffer is too short, and which other layout its size would be right for."""
        what = f"{payload.mmap_size} bytes are too few for {payload.num_queues} regions of {self._stride} bytes"
        if payload.mmap_size == payload.num_queues * self._size:
            return f"{what}; they are enough for {self._size} each: regions that are not rounded up (stride none)"
        if self.choices.ring == "packed" and payload.mmap_size == payload.num_queues * (self._size - HEADER_PADDING):
            return f"{what}; they are enough for headers of 29 bytes, which lack C's padding to 32"
        return what


def check_inflight(payload: Inflight, queues: int) -> None:
    """Check how many queues of which size a front-end asks for. Raises FrontEndError."""
    if not 1 <= payload.num_queues <= queues:
        raise FrontEndError(f"a shared buffer for {counted(payload.num_queues, 'queue')}; the device has {queues}")
    if not 1 <= payload.queue_size <= 32768:
        raise FrontEndError(f"a shared buffer for queues of {payload.queue_size} entries")


def create_inflight(
    payload: Inflight, queues: int, choices: Choices, stride: str = "64"
) -> tuple[SharedMemory, Inflight]:
    """Return a fresh shared buffer for the queues that ``payload`` asks for, and the payload that describes it.

    Its regions are those of the ring of ``choices``.

    It is a sealed memfd of zeros, one region a queue, each rounded up as ``stride`` says; with gap
    init-order=before-hand-over they are initialised here. The caller closes it. Raises FrontEndError as
    ``check_inflight`` does.
    """
    check_inflight(payload, queues)
    apart = region_size(choices.ring, choices.revision, payload.queue_size, stride)
    size = payload.num_queues * apart
    memory = SharedMemory.create(size, "vhost-inflight")
    if choices.init_order == "before-hand-over":
        for queue in range(payload.num_queues):
            view = memory.view(queue * apart, apart)
            prepare(region_at(view, choices.ring, choices.revision, payload.queue_size), choices)
    return memory, Inflight(size, 0, payload.num_queues, payload.queue_size)


def prepare(region: Any, choices: Choices) -> None:
    """Initialise a region before anybody serves it (gap init-order, before-hand-over)."""
    if choices.ring == "packed":
        wrap = 0 if choices.first_wrap == "zero" else 1
        prepare_packed_region(region, wrap=wrap, linked=choices.free_list == "linked")
    else:
        prepare_region(region)
