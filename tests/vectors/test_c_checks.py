"""The hostile vectors ask for the checks of a recovery: the one in C without one of them, one after the other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vectors import c
from vhost_inflight.vectors.checking.asking import check
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.hostile import hostile_vectors
from vhost_inflight.vectors.sets import PROVED

A_FETCH_OR_A_SUPPLY = {
    "a head past the ring's size was made available",
    "a head was made available while it is inflight",
    "a request is finished that is not marked inflight",
    "more was made available than the ring can hold",
    "a chain is longer than the ring",
    "a buffer id was made available while it is inflight",
    "the chain of a finished request has no length or no end that there is",
}
"""What a recovery does not meet: a life has no refusals."""

TWICE = {
    "an indirect descriptor is not alone in its chain",
    "an entry past the ring's size is inflight",
    "the used slot is past the ring's size",
    "more descriptors are inflight than the ring has slots",
    "the region has fewer entries than the ring, or more than any ring",
}
"""What another check, or the chain's own end, refuses too."""

THE_ADAPTER_S = {
    "there is no such queue in the buffer",
    "the shares of the buffer are not aligned to 8 bytes",
    "a batch that is not understood",
    "a store of the driver that is not understood",
}
"""What is said of messages, and of buffers of several queues."""


def without_one() -> Iterator[tuple[str, str]]:
    """Yield the words of each refusal, and the source without its check."""
    lines = c.SOURCE.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines[:-1]):
        said = re.search(r'refuse\(q, [A-Z_]+, "(.*)"\)', lines[number + 1])
        condition = re.fullmatch(r"(\s*)if \((.*)\)", line)
        if said is not None and condition is not None:
            never = f"{condition[1]}if (0 && ({condition[2]}))"
            yield said[1], "\n".join([*lines[:number], never, *lines[number + 1 :]])


@pytest.mark.campaign
def test_a_check_that_is_left_out_is_missed(tmp_path: Path) -> None:
    """But those that only a fetch or a supply meets, those that are made twice, and the adapter's own."""
    vectors: list[Vector] = [v for ring, revision in PROVED for v in hostile_vectors(ring, revision)]
    missed, tried = set(), 0
    for words, text in without_one():
        source, program = tmp_path / "less.c", tmp_path / "less"
        source.write_text(text, encoding="utf-8")
        subprocess.run(
            ["cc", "-std=c99", "-w", "-g", "-fsanitize=address,undefined", "-o", program, source], check=True
        )
        tried += 1
        if not check([str(program)], vectors, "text", 10, lambda _: None).bad:
            missed.add(words)
    assert tried > 40
    assert missed <= A_FETCH_OR_A_SUPPLY | TWICE | THE_ADAPTER_S
