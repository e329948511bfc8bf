"""The recovery in C: it passes, each of its mistakes fails, and no bytes take it out of its memory."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vectors import c, handmade
from vhost_inflight.vectors import messages
from vhost_inflight.vectors.adapters import reference
from vhost_inflight.vectors.checking import command
from vhost_inflight.vectors.checking.asking import Checked, check
from vhost_inflight.vectors.checking.process import Adapter
from vhost_inflight.vectors.form import Given, Vector
from vhost_inflight.vectors.messages import Answered


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for programs."""
    return tmp_path_factory.mktemp("c")


@pytest.fixture(scope="module")
def small() -> list[Vector]:
    """Give the small set."""
    return command.chosen(None, ())


def checked(program: Path, vectors: list[Vector]) -> Checked:
    """Put vectors to a program that speaks the text form."""
    return check([str(program)], vectors, "text", 30, lambda _: None)


def test_it_passes_every_vector_and_blames_the_right_one(folder: Path, small: list[Vector]) -> None:
    """Sanitizers are on: of an access that is none, and of a leak at its end, it would die."""
    found = checked(c.built(folder), [*small, *handmade.all_of_them()])
    assert [(bad.vector.id, bad.differs) for bad in found.bad] == []
    assert [verdict.vector.id for verdict in found.verdicts if verdict.note] == []
    assert found.ending is None
    assert found.count("pass") >= len(small)


@pytest.mark.parametrize("mistake", c.MISTAKES)
def test_each_mistake_fails_a_vector(mistake: str, folder: Path, small: list[Vector]) -> None:
    found = checked(c.built(folder, mistake), small)
    assert found.count("fail") + found.count("reject"), f"{mistake} passes"
    assert found.count("wedged") == 0, "a mistake is no crash"


def test_each_mistake_of_the_source_is_tried() -> None:
    text = c.SOURCE.read_text(encoding="utf-8")
    assert set(re.findall(r"MISTAKE_([A-Z_]+)\b(?!\.)", text)) == set(c.MISTAKES)


def test_it_has_nothing_of_ours(folder: Path) -> None:
    """One file, and the C library."""
    includes = re.findall(r"#include (.*)", c.SOURCE.read_text(encoding="utf-8"))
    assert all(re.fullmatch(r"<[a-z]+\.h>", include) for include in includes), includes
    assert c.built(folder).exists()


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Change a few bytes, most of them to what is near a limit."""
    made = bytearray(content)
    for _ in range(dice.randrange(1, 4)):
        if made:
            place = dice.randrange(len(made))
            flipped = made[place] ^ 1 << dice.randrange(8)
            made[place] = dice.choice([0, 1, 2, 3, 0x7F, 0x80, 0xFF, flipped, dice.randrange(256)])
    return bytes(made)


def hostile(given: Given, dice: random.Random) -> Given:
    """Give what nobody who follows the text leaves: bytes, sizes, too few bytes, pieces of memory."""
    given = replace(given, shared=None, queues=None, queue=None)  # one queue's share is what is damaged
    part = dice.choice(list(given.ring_memory))
    sizes = [0, 1, 2, 3, 4, 5, 8, 65535]
    if dice.random() < 0.7:
        given = replace(given, region=damaged(given.region, dice))
    if dice.random() < 0.4:
        given = replace(given, ring_memory={**given.ring_memory, part: damaged(given.ring_memory[part], dice)})
    if dice.random() < 0.05:
        given = replace(given, queue_size=dice.choice(sizes))
    if dice.random() < 0.05:
        given = replace(given, region_size=dice.choice(sizes))
    if dice.random() < 0.05:
        given = replace(given, region=given.region[: dice.randrange(len(given.region))])
    if dice.random() < 0.05:
        cut = given.ring_memory[part][: dice.randrange(len(given.ring_memory[part]))]
        given = replace(given, ring_memory={**given.ring_memory, part: cut})
    if dice.random() < 0.2:
        piece = dice.choice([0, 2**64 - 16, 0x40000000]), damaged(bytes(32), dice)
        given = replace(given, memory=(*given.memory, piece))
    return given


def asked_about(vectors: list[Vector], dice: random.Random, number: int) -> Iterator[Vector]:
    """Yield vectors with damaged bytes; what they expect says nothing any more."""
    for _ in range(number):
        vector = dice.choice(vectors)
        yield replace(vector, given=hostile(vector.given, dice))


def alike(one: Answered, other: Answered) -> bool:
    """Whether two answers say the same; of lives that have the same stores in another order, what was fetched."""
    if isinstance(one.result, tuple) and isinstance(other.result, tuple):
        return [lived.fetched for lived in one.result] == [lived.fetched for lived in other.result]
    return one == other or other.error is not None


@pytest.mark.parametrize("seed", range(2))
def test_of_hostile_bytes_it_says_what_the_reference_says(seed: int, folder: Path, small: list[Vector]) -> None:
    """Another writing of the same text: the same bytes afterwards, or a refusal that blames the same one."""
    seen = set()
    with Adapter([str(c.built(folder))], "text", 30) as adapter:
        for vector in asked_about(small, random.Random(seed), 1500):
            told = adapter.run(vector)
            right = messages.read_answer(reference.answer(messages.run(vector)), vector)
            assert alike(told, right), vector.given
            seen.add(told.result.culprit if told.result and hasattr(told.result, "culprit") else type(told.result))
        assert adapter.stop() is None
    assert {"front-end", "driver", "back-end"} < seen
