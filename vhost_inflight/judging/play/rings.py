"""The door to what differs between the rings: memory, judge and driver's steps of the one that the choices name."""

from __future__ import annotations

from refimpl.choices import Choices
from refimpl.packed.driver import PackedDriver
from vhost_inflight.judging.play.judge import Judge
from vhost_inflight.judging.play.packed.judge import PackedJudge
from vhost_inflight.judging.play.packed.world import PackedHand, PackedMemory
from vhost_inflight.judging.play.split.judge import SplitJudge
from vhost_inflight.judging.play.split.world import SplitHand, SplitMemory
from vhost_inflight.judging.play.world import Device, Driver, Hand, Memory

__all__ = ["hand_of", "judge_of", "memory_of"]


def memory_of(choices: Choices, size: int, entries: int, first: int = 0) -> Memory:
    """Return a fresh memory for a ring of ``size`` and a region of ``entries``."""
    kind = PackedMemory if choices.ring == "packed" else SplitMemory
    return kind(choices, size, entries, first)


def judge_of(memory: Memory, device: Device) -> Judge:
    """Return the judge of a run on this memory."""
    return PackedJudge(memory, device) if memory.choices.ring == "packed" else SplitJudge(memory, device)


def hand_of(driver: Driver, judge: Judge) -> Hand:
    """Return who plays the driver's steps."""
    if isinstance(driver, PackedDriver):
        assert isinstance(judge, PackedJudge)
        return PackedHand(driver, judge)
    assert isinstance(judge, SplitJudge)
    return SplitHand(driver, judge)
