"""Recovery that is cut off: a crash after each step of it is tried, and what many steps leave is tried once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

import pytest

from refimpl.choices import Choices
from vhost_inflight.judging.play import restart
from vhost_inflight.judging.play.packed.world import PackedMemory
from vhost_inflight.judging.play.split.world import SplitMemory
from vhost_inflight.judging.play.world import Memory


class _Crash(BaseException):
    """A crash."""


def left_at(memory: Memory, image: bytes, cut: int) -> tuple[bytes, bool]:
    """Recover a copy up to a step; return what that leaves, and whether there was such a step."""
    copy, steps = memory.copy(image), []

    def hook(step: str, _choice: int | None) -> None:
        steps.append(step)
        if len(steps) == cut:
            raise _Crash

    try:
        copy.queue(hook, lambda _head: None).start()
    except _Crash:
        return copy.image, True
    return copy.image, False


@pytest.mark.parametrize(("kind", "ring", "least"), [(SplitMemory, "split", 3), (PackedMemory, "packed", 8)])
def test_every_crash_is_tried(monkeypatch: pytest.MonkeyPatch, kind: type[Memory], ring: str, least: int) -> None:
    """Of a fresh region: what a crash after each step leaves, in the order of the steps, each once."""
    memory = kind(Choices(ring=ring), 4, 4)
    image = memory.image
    crashes = (left_at(memory, image, cut) for cut in range(1, 100))
    expected = [left for left, _ in takewhile(lambda crash: crash[1], crashes)]
    tried: list[bytes] = []
    ends = restart._ends

    def noted(scratch: Memory, left: bytes) -> Iterator[restart.End]:
        tried.append(left)
        return ends(scratch, left)

    monkeypatch.setattr(restart, "_ends", noted)
    assert restart.not_restartable(memory, image) is None
    assert tried == list(dict.fromkeys(expected))
    assert least <= len(tried) < len(expected) < 99
    assert memory.image == image


def test_the_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a crash that makes a difference: the first step after which it does."""
    memory = SplitMemory(Choices(), 4, 4)
    ends = restart._ends

    def settled(scratch: Memory, left: bytes) -> Iterator[restart.End]:
        scratch.restore(left)
        return iter([restart.End(refused="told so")]) if scratch.region.desc_num else ends(scratch, left)

    monkeypatch.setattr(restart, "_ends", settled)
    difference = restart.not_restartable(memory, memory.image)
    assert difference is not None
    assert difference.startswith("recovery ends with refused , and told so after the crash; ")
    assert difference.endswith("the region's bytes differ at split.init.1")
