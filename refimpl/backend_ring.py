"""One ring of the back-end: what the front-end said about it, its file descriptors, and its main loop.

A ring runs from the moment when it has a kick file descriptor and is enabled, whichever comes last: then it recovers,
once. It runs until GET_VRING_BASE, a reset, or the end of the connection. While disabled it fetches nothing.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from refimpl.backend_memory import MappedMemory
from refimpl.blk import BlkRequest, Disk
from refimpl.blk_queue import BlkQueue, Schedule, Trace
from refimpl.choices import Choices
from refimpl.codec_payload import VringAddress
from refimpl.errors import FrontEndError
from refimpl.hooks import Hook
from refimpl.layout import region_at, region_size
from refimpl.memory import SharedMemory
from refimpl.split_chain import read_chain
from refimpl.split_queue import SplitQueue
from refimpl.split_recover import prepare_region
from refimpl.split_ring import SplitRing
from refimpl.split_state import Counter

_FETCH_AFTER: Final = {
    "never": frozenset[str](),
    "until-publish": frozenset({"split.supply.3"}),
    "always": frozenset({"split.supply.3", "split.supply.6"}),
}
"""After which steps of a batch more is fetched (gap fetch-in-batch)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What all rings and connections of one process share; ``strict`` as in SplitState."""

    disk: Disk
    choices: Choices
    hook: Hook
    schedule: Schedule
    trace: Trace
    rng: random.Random
    strict: bool = True


class Vring:
    """One ring. ``size``, ``address``, ``base`` and the file descriptors are None until the front-end gives them."""

    def __init__(self, number: int, device: Device, memory: MappedMemory, counter: Counter) -> None:
        """Begin stopped and disabled; ``counter`` is the device's, for the gap counter-scope."""
        self.number = number
        self.device = device
        self.memory = memory
        self.counter = counter
        self.size: int | None = None
        self.address: VringAddress | None = None
        self.base = 0
        self.enabled = False
        self.event_index = True
        self.kick_fd: int | None = None
        self.call_fd: int | None = None
        self.err_fd: int | None = None
        self.queue: SplitQueue | None = None
        self.blk: BlkQueue | None = None

    # What the front-end says

    def describe(self, address: VringAddress) -> None:
        """Take where the ring is."""
        self.address = address

    def set_fd(self, name: str, fd: int | None) -> None:
        """Own ``fd`` as the ring's kick, call or err file descriptor, and close the one before it."""
        old = getattr(self, name)
        if old is not None:
            os.close(old)
        setattr(self, name, fd)
        if fd is not None:
            os.set_blocking(fd, False)  # a peer that reads or fills it first must not stop this process

    def start(self, find_region: Callable[[], Any] | None) -> None:
        """Recover, and run; ``find_region`` finds the region in the shared buffer, None: the ring is not tracked.

        Raises FrontEndError when the ring was not described, lies outside the memory or does not fit the region;
        RegionError and DriverError as the recovery does.
        """
        ring = self._lay_ring()
        region = find_region() if find_region else _private_region(self.device.choices, ring.size)
        if len(region.desc) < ring.size and self.device.choices.region_size != "smaller":
            hint = "region-size=smaller serves the heads past it untracked"
            raise FrontEndError(f"ring {self.number} has {ring.size} entries, its region {len(region.desc)}; {hint}")
        device = self.device
        blk = BlkQueue(
            device.disk,
            self._read_request,
            number=self.number,
            schedule=device.schedule,
            rng=device.rng,
            trace=device.trace,
            hook=device.hook,
        )
        queue = SplitQueue(
            ring,
            region,
            device.choices,
            self._step,
            submit=blk.submit,
            kick_taken=self._take_kick,
            call=self._call,
            used_len=blk.used_len,
            counter=self.counter,
            event_index=self.event_index,
            strict=device.strict,
        )
        self.queue, self.blk = queue, blk
        self._recover(queue.start)

    def kick_fd_again(self) -> None:
        """Go on after another kick file descriptor came; recover again only if gap recovery-start says so."""
        if self.queue is not None:
            self._recover(self.queue.kick_fd_again)
            self.queue.resting = False  # a kick may have gone to the descriptor before

    def enable(self, *, enabled: bool) -> None:
        """Let the ring fetch, or not."""
        self.enabled = enabled
        if self.queue is not None and enabled:
            self.queue.resting = False  # what came meanwhile is fetched

    def lay_again(self) -> None:
        """Find a running ring anew after the memory table changed. Raises FrontEndError when it is not there now."""
        if self.queue is not None:
            self.queue.ring = self._lay_ring()

    def stop(self) -> int:
        """Finish and supply everything in flight and stop; return the position of the next fetch."""
        if self.queue is not None and self.blk is not None:
            while self.blk.busy:
                self._supply(self.queue, self.blk)
            self.base = self.queue.last_avail
        self.drop()
        return self.base

    def drop(self) -> None:
        """Stop without finishing anything, as a reset and the end of a connection do."""
        self.queue = self.blk = None
        self.set_fd("kick_fd", None)

    def close(self) -> None:
        """Drop everything, and close the file descriptors."""
        self.drop()
        self.set_fd("call_fd", None)
        self.set_fd("err_fd", None)

    def signal_error(self) -> None:
        """Tell the front-end through the err file descriptor, if there is one."""
        if self.err_fd is not None:
            _signal(self.err_fd, "err")

    # The main loop

    @property
    def deadline(self) -> float | None:
        """When the device is to finish something though nothing more comes (monotonic clock); None: never."""
        return self.blk.deadline if self.blk is not None else None

    @property
    def ready(self) -> bool:
        """Whether there is something to do without waiting for a kick."""
        if self.queue is None or self.blk is None:
            return False
        return self.blk.due() or (self.enabled and not self.queue.resting)

    def woken(self) -> None:
        """Take a kick: the kick file descriptor is readable."""
        if self.queue is not None:
            self.queue.wake()

    def turn(self) -> None:
        """Do one turn of the main loop: fetch what is available, supply one batch if due, rest if nothing is left.

        Raises DriverError for what the driver did wrong, FrontEndError for a call file descriptor of no use.
        """
        queue, blk = self.queue, self.blk
        if queue is None or blk is None:
            return
        if self.enabled and not queue.resting:
            self._fetch(queue)
        if blk.due():
            self._supply(queue, blk)
        if self.enabled and not queue.resting:
            queue.arm()
            queue.look_again()

    def _fetch(self, queue: SplitQueue) -> None:
        """Fetch everything that is available."""
        queue.look()
        while queue.available:
            queue.take()
            queue.look()

    def _supply(self, queue: SplitQueue, blk: BlkQueue) -> None:
        """Let the device finish a batch, and supply it."""
        blk.finish()
        queue.supply(blk.next_finished)

    def _recover(self, recover: Callable[[], None]) -> None:
        """Run a recovery; what the device gets meanwhile is resubmitted."""
        if self.blk is not None:
            self.blk.recovering = True
            recover()
            self.blk.recovering = False

    def _step(self, step: str, choice: int | None) -> None:
        """Report a step of the queue, and fetch inside a batch where the choices say so."""
        self.device.hook(step, choice)
        if self.queue is not None and self.enabled and step in _FETCH_AFTER[self.device.choices.fetch_in_batch]:
            self._fetch(self.queue)

    def _read_request(self, head: int) -> BlkRequest:
        """Read the request at ``head``. Raises DriverError for a wrong chain."""
        assert self.queue is not None, "a request of a ring that does not run"
        return BlkRequest(head, read_chain(self.queue.ring, self.memory.guest, head))

    def _take_kick(self) -> None:
        """Consume the kick. Raises FrontEndError when the descriptor is readable and gives no 8 bytes."""
        try:
            data = os.read(self.kick_fd, 8) if self.kick_fd is not None else bytes(8)
        except BlockingIOError:
            return  # someone else took it
        except OSError as error:
            raise FrontEndError(f"ring {self.number}: the kick fd cannot be read: {error}") from error
        if len(data) != 8:
            raise FrontEndError(f"ring {self.number}: the kick fd is no eventfd")

    def _call(self) -> None:
        """Notify the driver."""
        if self.call_fd is not None:
            _signal(self.call_fd, "call")

    def _lay_ring(self) -> SplitRing:
        """Lay the ring over the memory that the front-end described. Raises FrontEndError."""
        if self.size is None or self.address is None:
            raise FrontEndError(f"ring {self.number} was started before its size and addresses were set")
        size, address, at_user = self.size, self.address, self.memory.at_user
        return SplitRing(
            size,
            at_user(address.desc, 16 * size, f"ring {self.number}, descriptors"),
            at_user(address.avail, 6 + 2 * size, f"ring {self.number}, available ring"),
            at_user(address.used, 6 + 8 * size, f"ring {self.number}, used ring"),
            blame=FrontEndError,
        )


def _private_region(choices: Choices, size: int) -> Any:
    """Return a region that nobody else sees, for a front-end that wants no tracking."""
    with SharedMemory.create(region_size("split", choices.revision, size), "vhost-untracked") as memory:
        region = region_at(memory.view(), "split", choices.revision, size)
    if choices.init_order == "before-hand-over":
        prepare_region(region)
    return region


def _signal(fd: int, what: str) -> None:
    """Add 1 to an eventfd; one that is full is signalled anyway. Raises FrontEndError when that is not possible."""
    try:
        os.write(fd, (1).to_bytes(8, "little"))
    except BlockingIOError:
        pass
    except OSError as error:
        raise FrontEndError(f"the {what} fd cannot be written: {error}") from error
