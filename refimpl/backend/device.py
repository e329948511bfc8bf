"""What the rings and connections of one back-end process share, and what it offers."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule, Trace
from refimpl.backend.memory import MEM_SLOTS
from refimpl.backend.reins import Reins
from refimpl.choices import Choices
from refimpl.hooks import Hook
from refimpl.wire.features import (
    FEATURES,
    GENERATIONS,
    PROTOCOL_CONFIGURE_MEM_SLOTS,
    PROTOCOL_FEATURES,
    PROTOCOL_STATUS,
    RING_PACKED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What all rings and connections of one process share.

    ``dump`` is a folder for what the rings find when they start (see dump_state), ``mem_slots`` how many regions of
    memory may be given one by one (ADD_MEM_REG); 0: they come as one table (SET_MEM_TABLE). ``stride`` is how far the
    regions of a shared buffer are apart (STRIDES), ``generation`` how rings are stopped (GENERATIONS), ``status``
    whether the device status is offered (PROTOCOL_STATUS), ``reins`` who steers this process.
    With ``choices`` of the packed ring, packed rings are offered; split ones, which firmware uses, are served still,
    with the choices ``beside``, or the defaults. Of rings of a kind that is ``loose``, memory safety alone is checked
    (see SplitState, ``strict``).
    """

    disk: Disk
    choices: Choices
    hook: Hook
    schedule: Schedule
    trace: Trace
    rng: random.Random
    beside: Choices | None = None
    loose: frozenset[str] = frozenset()
    dump: Path | None = None
    mem_slots: int = MEM_SLOTS
    stride: str = "64"
    generation: str = "drain"
    status: bool = False
    reins: Reins | None = None

    @property
    def clock(self) -> Callable[[], float]:
        """What gives the time in seconds."""
        return time.monotonic if self.reins is None else self.reins.clock

    @property
    def packed(self) -> bool:
        """Whether packed rings are offered."""
        return self.choices.ring == "packed"

    def choices_of(self, kind: str) -> Choices:
        """Return the choices of one kind of ring."""
        if kind == self.choices.ring:
            return self.choices
        return self.beside or Choices(revision=self.choices.revision, ring=kind)

    @property
    def features(self) -> int:
        """The virtio features that are offered."""
        return FEATURES | self.disk.features | (RING_PACKED if self.packed else 0)

    @property
    def protocol_features(self) -> int:
        """The protocol features that are offered."""
        features = PROTOCOL_FEATURES | GENERATIONS[self.generation] | (PROTOCOL_STATUS if self.status else 0)
        return features & ~(0 if self.mem_slots else PROTOCOL_CONFIGURE_MEM_SLOTS)
