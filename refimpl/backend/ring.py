"""One ring of the back-end: what the front-end said about it, its file descriptors, and its main loop.

A ring runs from the moment when it has a kick file descriptor and is enabled, whichever comes last: then it recovers,
once. It runs until GET_VRING_BASE or GET_VRING_BASE_SKIP_DRAIN, a reset, or the end of the connection. While disabled
it fetches nothing.

What its driver or its region has wrong stops it too, and nothing else: the log says whose fault it is, the front-end is
told by the err file descriptor, and other rings go on. What was in flight stays so in the region, so the ring starts
again with the next kick file descriptor, and stops again, until the driver has reset it.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any, Final

from refimpl.backend.device import Device
from refimpl.backend.dirty import DirtyLog, RingLog
from refimpl.backend.disk import BlkRequest
from refimpl.backend.disk_queue import BlkQueue
from refimpl.backend.dump import dump_state
from refimpl.backend.memory import MappedMemory
from refimpl.backend.queue import (
    Queue,
    Ring,
    fetches_after,
    first_base,
    lay_again,
    lay_ring,
    make_queue,
    place_of,
    position,
    private_region,
    read_request,
    set_fetch_position,
    starved,
    written_areas,
)
from refimpl.choices import Choices
from refimpl.errors import DriverError, FrontEndError, RegionError
from refimpl.names import counted
from refimpl.split.queue import SplitQueue
from refimpl.split.state import Counter
from refimpl.wire.payload import VringAddress

_LOG: Final = logging.getLogger(__name__)

QEMU_ANY_SIZE: Final = 10
"""The first version of QEMU known to let a driver make a ring of any size up to QEMU_RING_MAX."""

QEMU_RING_MAX: Final = 1024
"""The most entries of a ring under such a QEMU, whatever its option queue-size says."""


class Vring:
    """One ring, ``kind`` "split" or "packed", as was negotiated.

    ``size``, ``address``, ``base`` and the file descriptors are None until the front-end gives them.
    """

    def __init__(self, number: int, device: Device, memory: MappedMemory, counter: Counter, log: DirtyLog) -> None:
        """Begin stopped and disabled; ``counter`` is the device's (gap counter-scope), ``log`` that of dirty pages."""
        self.number = number
        self.device = device
        self.memory = memory
        self.counter = counter
        self.log = log
        self.ring_log = RingLog(log)
        self.size: int | None = None
        self.address: VringAddress | None = None
        self.base: int | None = None
        self.kind = "split"
        self.enabled = False
        self.event_index = True
        self.kick_fd: int | None = None
        self.call_fd: int | None = None
        self.err_fd: int | None = None
        self.queue: Queue | None = None
        self.blk: BlkQueue | None = None
        self.untracked = 0

    # What the front-end says

    def describe(self, address: VringAddress) -> None:
        """Take where the ring is; of one that runs, whether it is to be logged. Raises FrontEndError if it is moved."""
        if self.queue is not None:
            before = self.address
            assert before is not None, "a ring that runs and is nowhere"
            if (before.desc, before.used, before.avail) != (address.desc, address.used, address.avail):
                raise FrontEndError(f"SET_VRING_ADDR came while ring {self.number} runs, with other addresses")
            self.ring_log.areas = written_areas(self.queue.ring, address, self.memory)
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

        Raises FrontEndError when the ring was not described, lies outside the memory or does not fit the region.
        """
        with self._at_its_own_risk():
            self._start(find_region)

    def _start(self, find_region: Callable[[], Any] | None) -> None:
        """Recover, and run. Raises as ``start``, and RegionError and DriverError as the recovery does."""
        ring, device = self._lay_ring(), self.device
        choices, base = device.choices_of(self.kind), self._base
        region = find_region() if find_region else private_region(choices, ring.size, base)
        if len(region.desc) < ring.size:
            self._too_small(len(region.desc), choices)
        blk = BlkQueue(
            device.disk,
            self._read_request,
            number=self.number,
            schedule=device.schedule,
            rng=device.rng,
            trace=device.trace,
            hook=self._report,
            packed=self.kind == "packed",
            clock=device.clock,
            wrote=self._log_data,
        )
        queue = make_queue(
            ring,
            region,
            choices,
            self._step,
            blk,
            base=base,
            kick_taken=self._take_kick,
            call=self._call,
            counter=self.counter,
            event_index=self.event_index,
            strict=self.kind not in device.loose,
        )
        self.queue, self.blk = queue, blk
        self._log_ring(ring)
        self.ring_log.wrote_all()
        queue.wrote = self.ring_log.wrote
        fresh = not region.version
        if device.dump is not None and find_region is not None:
            path = dump_state(
                device.dump, self.number, ring, region, choices=choices, memory=self.memory.guest, base=base
            )
            _LOG.info("wrote what ring %d and its region hold to %s", self.number, path)
        self._recover(queue.start)
        if find_region is None:
            set_fetch_position(queue, base)
        self._tell(blk, fresh=fresh, tracked=find_region is not None)

    def _too_small(self, entries: int, choices: Choices) -> None:
        """Raise FrontEndError for a region that is smaller than the ring, or say what that means (gap region-size)."""
        what = f"ring {self.number} has {self.size} entries, its region {entries}"
        better = (  # the gap is not offered: no revision that leaves it open is proved with it, on either ring
            "the front-end should ask for a region as large as its rings can be (QEMU: queue-size; since version "
            f"{QEMU_ANY_SIZE} guests make rings of up to {QEMU_RING_MAX} whatever it says, so "
            f"queue-size={QEMU_RING_MAX})"
        )
        if choices.region_size != "smaller":
            raise FrontEndError(f"{what}: {better}")
        if self.kind == "split":
            meant = f"heads from {entries} on are not tracked, and lost if this process dies"
        else:
            meant = f"requests wait for entries, a chain of more than {entries} stops it"
        _LOG.warning("%s: %s; %s", what, meant, better)

    def _tell(self, blk: BlkQueue, *, fresh: bool, tracked: bool) -> None:
        """Log how the ring started."""
        if not _LOG.isEnabledFor(logging.INFO) or self.queue is None:
            return
        region = ("a fresh region" if fresh else "the region that it left") if tracked else "no tracking"
        again = blk.resubmitted
        names = "buffer ids" if self.kind == "packed" else "heads"
        order = f" in this order: {names} {', '.join(map(str, again))}" if again else ""
        where = place_of(self.queue)
        _LOG.info(
            "ring %d, %s, %d entries, starts with %s: %s resubmitted%s; fetching goes on at %s",
            self.number, self.kind, self.size, region, counted(len(again), "request"), order, where,
        )  # fmt: skip

    def kick_fd_again(self) -> None:
        """Go on after another kick file descriptor came; recover again only if gap recovery-start says so."""
        if self.queue is not None:
            with self._at_its_own_risk():
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
            ring = self._lay_ring()
            lay_again(self.queue, ring)
            self._log_ring(ring)

    def stop(self) -> int:
        """Finish and supply everything in flight and stop; return the position of the next fetch."""
        had = self.blk.unsupplied if self.blk is not None else 0
        with self._at_its_own_risk():
            while self.queue is not None and self.blk is not None and self.blk.busy:
                self._supply(self.queue, self.blk)
        if self.queue is not None:
            self.base = position(self.queue)
            _LOG.info(
                "ring %d is drained of %s and stops; fetching goes on at %s",
                self.number, counted(had, "request"), place_of(self.queue),
            )  # fmt: skip
        self.drop()
        return self._base

    def suspend(self) -> int:
        """Stop at once and return the position of the next fetch; what is in flight stays so in the region.

        This is called between two procedures, so that no batch is open. What the device holds back, it never does; what
        it has done and nobody was told of is done again. Until the next start nothing is stored, and nobody notified.
        """
        if self.queue is not None and self.blk is not None:
            self.base = position(self.queue)
            _LOG.info(
                "ring %d is suspended with %s in flight; fetching goes on at %s",
                self.number, counted(self.blk.unsupplied, "request"), place_of(self.queue),
            )  # fmt: skip
        self.drop()
        return self._base

    @property
    def _base(self) -> int:
        """The position that the front-end gave, or where the ring stopped, or the beginning."""
        return first_base(self.kind) if self.base is None else self.base

    def drop(self) -> None:
        """Stop without finishing anything, as a reset and the end of a connection do."""
        self.queue = self.blk = None
        self.set_fd("kick_fd", None)

    def close(self) -> None:
        """Drop everything, and close the file descriptors."""
        self.drop()
        self.set_fd("call_fd", None)
        self.set_fd("err_fd", None)

    @contextlib.contextmanager
    def _at_its_own_risk(self) -> Iterator[None]:
        """Let what the driver or the region has wrong stop this ring, and no other."""
        try:
            yield
        except (DriverError, RegionError) as error:
            _LOG.error("ring %d stops: %s", self.number, error)
            if self.queue is not None and self.blk is not None and not self.blk.recovering:
                self.base = position(self.queue)
            self.drop()
            self.signal_error()

    def signal_error(self) -> None:
        """Tell the front-end through the err file descriptor, if there is one."""
        if self.err_fd is not None:
            _signal(self.err_fd, "err")

    # The main loop

    @property
    def deadline(self) -> float | None:
        """When the device is to finish something though nothing more comes (by its clock); None: never."""
        return self.blk.deadline if self.blk is not None else None

    @property
    def ready(self) -> bool:
        """Whether there is something to do without waiting for a kick."""
        if self.queue is None or self.blk is None:
            return False
        return self.blk.due() or (self.enabled and not self.queue.resting and not starved(self.queue))

    def woken(self) -> None:
        """Take a kick: the kick file descriptor is readable."""
        if self.queue is not None:
            self.queue.wake()

    def turn(self) -> None:
        """Do one turn of the main loop: fetch what is available, supply one batch if due, rest if nothing is left.

        Raises FrontEndError for a call file descriptor of no use, and for a page that cannot be logged.
        """
        if self.queue is not None and self.blk is not None:
            with self._at_its_own_risk():
                self._turn(self.queue, self.blk)

    def _turn(self, queue: Queue, blk: BlkQueue) -> None:
        if self.enabled and not queue.resting:
            self._fetch(queue)
        if blk.due():
            self._supply(queue, blk)
        if self.enabled and not queue.resting and not starved(queue):
            queue.arm()
            queue.look_again()

    def _fetch(self, queue: Queue) -> None:
        """Fetch everything that is available."""
        queue.look()
        while queue.available:
            queue.take()
            queue.look()

    def _supply(self, queue: Queue, blk: BlkQueue) -> None:
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
        if step == "split.fetch.untracked":
            self._tell_untracked()
        self._report(step, choice)
        if self.queue is not None and self.enabled and fetches_after(self.queue.choices, step):
            self._fetch(self.queue)

    def _report(self, step: str, choice: int | None) -> None:
        """Tell who wants to know of it that a step was taken."""
        self.device.hook(step, choice)

    def _tell_untracked(self) -> None:
        """Log a head that the region has no entry for: the first one of a ring always, others with every message."""
        assert isinstance(self.queue, SplitQueue)
        level = logging.DEBUG if self.untracked else logging.WARNING
        self.untracked += 1
        head = self.queue.ring.avail.ring[(self.queue.last_avail - 1) % self.queue.ring.size]
        _LOG.log(level, "ring %d: head %d has no entry in its region: it is served, and not tracked", self.number, head)

    def _log_ring(self, ring: Ring) -> None:
        """Log what the device writes to the ring from now on, if the front-end wants that."""
        assert self.address is not None, "a ring that was laid and is nowhere"
        self.ring_log.areas = written_areas(ring, self.address, self.memory)

    def _log_data(self, request: BlkRequest) -> None:
        """Log what a request wrote to the guest's memory, if the front-end wants that."""
        if self.log.everything:
            for address, length in request.written():
                self.log.mark(address, length)

    def _read_request(self, head: int) -> BlkRequest:
        """Read the request at ``head``. Raises DriverError for a wrong chain."""
        assert self.queue is not None, "a request of a ring that does not run"
        return read_request(self.queue, self.memory, head)

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

    def call_again(self) -> None:
        """Notify the driver where a call file descriptor has come: what it was not told without one, it is told now."""
        if self.queue is not None:
            self._call()

    def _call(self) -> None:
        """Notify the driver."""
        if self.call_fd is not None:
            _signal(self.call_fd, "call")

    def _lay_ring(self) -> Ring:
        """Lay the ring over the memory that the front-end described. Raises FrontEndError."""
        if self.size is None or self.address is None:
            raise FrontEndError(f"ring {self.number} was started before its size and addresses were set")
        return lay_ring(self.kind, self.size, self.address, self.memory, f"ring {self.number}")


def _signal(fd: int, what: str) -> None:
    """Add 1 to an eventfd; one that is full is signalled anyway. Raises FrontEndError when that is not possible."""
    try:
        os.write(fd, (1).to_bytes(8, "little"))
    except BlockingIOError:
        pass
    except OSError as error:
        raise FrontEndError(f"the {what} fd cannot be written: {error}") from error
