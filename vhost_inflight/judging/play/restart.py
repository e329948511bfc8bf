"""Restartable: recovery cut off and run again ends as it would have without the crash; tried on copies of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from refimpl.backend.queue import Queue
from refimpl.errors import InflightError
from refimpl.packed.queue import PackedQueue
from refimpl.split.state import Choose, choose_first
from vhost_inflight.judging.play.world import Memory

__all__ = ["End", "not_restartable"]


@dataclass(frozen=True, slots=True)
class End:
    """What recovery ends in: the region's bytes, the resubmit list, the position of the next fetch, the counter.

    The position is an index, or of a packed ring a slot and its lap. ``refused`` instead is the rule that it found
    broken.
    """

    region: bytes = b""
    resubmitted: tuple[int, ...] = ()
    position: str = ""
    counter: int = 0
    refused: str = ""

    def difference(self, other: End) -> str:
        """Say in what another end differs."""
        names = ("refused", "resubmitted", "position", "counter")
        found = [
            f"{name} {getattr(self, name)}, and {getattr(other, name)} after the crash"
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]
        if self.region != other.region:
            found.append("the region's bytes differ")
        return "; ".join(found)


_MANY = 100
"""Of longer recoveries, crashes are tried after so many steps at the beginning and at the end."""


class _EndlessError(BaseException):
    """Recovery has taken more steps than any recovery does. Nothing in the reference catches it."""


def not_restartable(memory: Memory, image: bytes) -> str | None:
    """Recover a copy of ``image`` without a crash, and cut off after each step and again; return the first difference.

    None: every such crash leads to the same end. ``memory`` says what the image is of, and is not touched. The driver
    is idle all along.
    """
    scratch = memory.copy(image)
    steps: list[str] = []
    end = _recover(scratch, steps)
    for left, step in _left_by_crashes(scratch, image, len(steps)).items():
        for other in _ends(scratch, left):
            if other != end:
                return f"recovery ends with {end.difference(other)} at {step}"
    return None


def _left_by_crashes(scratch: Memory, image: bytes, steps: int) -> dict[bytes, str]:
    """Recover once more, and give what a crash after each step leaves, with the first step that leaves it so.

    What comes after a crash depends on that alone; so what many steps leave, those without a store, is tried once.
    """
    cuts = _cuts(steps)
    left: dict[bytes, str] = {}

    def look(number: int, step: str) -> None:
        if number in cuts:
            left.setdefault(scratch.image, step)

    scratch.restore(image)
    _recover(scratch, [], look)
    return left


def _cuts(steps: int) -> frozenset[int]:
    """Give the steps after which to crash: all, or of a recovery that walks over entries for long, the ends of it."""
    everywhere = range(1, steps + 1)
    return frozenset(everywhere if steps <= 2 * _MANY else [*everywhere[:_MANY], *everywhere[-_MANY:]])


def _ends(scratch: Memory, image: bytes) -> Iterator[End]:
    """Recover twice: with the first and with the last of the entries of which any may be resubmitted next.

    The second time begins with what the first left: where that makes a difference, recovery is not restartable either.
    """
    scratch.restore(image)
    yield _recover(scratch, [])
    yield _recover(scratch, [], choose=lambda candidates: candidates[-1])


def _recover(
    memory: Memory,
    steps: list[str],
    look: Callable[[int, str], None] = lambda _number, _step: None,
    choose: Choose = choose_first,
) -> End:
    """Recover, and add the steps to ``steps``; ``look`` is told of each, counted from 1."""
    resubmitted: list[int] = []
    patience = _MANY * (memory.size + memory.entries + _MANY)

    def hook(step: str, _choice: int | None) -> None:
        steps.append(step)
        look(len(steps), step)
        if len(steps) > patience:
            raise _EndlessError

    memory.hand_over()
    queue = memory.queue(hook, resubmitted.append, choose=choose)
    try:
        queue.start()
    except InflightError as error:
        return End(refused=str(error))
    except _EndlessError:
        return End(refused="recovery has no end")
    return End(memory.region_image, tuple(resubmitted), _position(queue), queue.counter.value)


def _position(queue: Queue) -> str:
    """Say where fetching goes on."""
    if isinstance(queue, PackedQueue):
        return f"slot {queue.avail_idx} in lap {queue.avail_wrap}"
    return str(queue.last_avail)
