"""A set as files: JSON lines, lines of words, raw bytes, and what the set is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from vhost_inflight.vectors import text
from vhost_inflight.vectors.form import FORMAT, Lived, Outcome, Recovered, Refused, Vector, dump

__all__ = ["VERSION", "expected", "write"]

VERSION: Final = f"{FORMAT.rpartition(' ')[2]}.split-merged.packed-hardened"
"""The version of the vectors: the form's, and the revision of the text that is proved for each ring."""


def write(
    vectors: Iterable[Vector], folder: Path, size: str, seed: int, progress: Callable[[str], None] = lambda _: None
) -> Counter[str]:
    """Write a set to a folder; give how many vectors there are of each ring and kind. Raises OSError.

    Raw files of a set that was written there before are removed. ``progress`` is called with each vector's id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    before = set(raw.iterdir()) if _is_a_set(folder) else set()
    counted: Counter[str] = Counter()
    with (
        (folder / "vectors.jsonl").open("w", encoding="utf-8", newline="\n") as lines,
        (folder / "vectors.vec").open("w", encoding="utf-8", newline="\n") as words,
    ):
        for vector in vectors:
            counted[f"{vector.ring} {vector.kind}"] += 1
            lines.writelines(f"{line}\n" for line in dump([vector]))
            words.write(text.run(vector))
            words.writelines(f"{line}\n" for line in expected(vector))
            before.difference_update(_raw(raw, vector))
            progress(vector.id)
    for stale in before:
        stale.unlink()
    about = {"format": FORMAT, "version": VERSION, "size": size, "seed": seed, "vectors": dict(sorted(counted.items()))}
    (folder / "index.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return counted


def _is_a_set(folder: Path) -> bool:
    """Whether a folder has a set that was written by this program."""
    try:
        return bool(json.loads((folder / "index.json").read_text(encoding="utf-8"))["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _raw(folder: Path, vector: Vector) -> list[Path]:
    """Write the bytes that are given, each part as a file; give the files."""
    given = vector.given
    shared = {} if given.shared is None else {"shared": given.shared}
    written = []
    for name, data in {"region": given.region, **given.ring_memory, **shared}.items():
        written.append(folder / f"{vector.id}.{name}")
        written[-1].write_bytes(data)
    return written


def expected(vector: Vector) -> Iterator[str]:
    """Give what is right, in lines: for each outcome `expect`, its choices and its answer as an adapter says it."""
    for part, mask in vector.mask.items():
        yield f"mask {part} {_hex(mask)}"
    for outcome in vector.outcomes:
        yield " ".join(
            [f"expect{'-if-said' * outcome.said}", *(f"{gap}={choice}" for gap, choice in outcome.gaps.items())]
        )
        yield from _answer(vector, outcome)
        yield "end"


def _answer(vector: Vector, outcome: Outcome) -> Iterator[str]:
    answer = outcome.answer
    if isinstance(answer, Refused):
        yield f"refused {vector.id} {answer.culprit}"
    elif isinstance(answer, Recovered):
        yield f"result {vector.id}"
        yield from _recovered(answer)
    else:
        yield f"result {vector.id}"
        for op in answer:
            yield from _lived(op)


def _recovered(answer: Recovered) -> Iterator[str]:
    yield " ".join(["resubmit", *(_words(r) for r in answer.resubmit)])
    yield f"next_avail {_words(answer.next_avail)}"
    yield f"used {_words(answer.used)}"
    yield f"counter {'-' if answer.counter is None else answer.counter}"
    parts = {"region": (answer.region, answer.region_mask)}
    parts |= {name: (data, answer.ring_mask[name]) for name, data in answer.ring_memory.items()}
    for name, (data, mask) in parts.items():
        yield f"after {name} {_hex(data)}"
        yield f"mask {name} {_hex(mask)}"


def _lived(op: Lived) -> Iterator[str]:
    yield "op"
    yield f"fetched {'-' if op.fetched is None else op.fetched}"
    for store in op.stores:
        yield f"store {store.part} {store.offset} {_hex(store.data)}"
    for first, second in op.before:
        yield f"before {first} {second}"


def _words(value: int | tuple[int, ...]) -> str:
    return str(value) if isinstance(value, int) else ":".join(map(str, value))


def _hex(data: bytes) -> str:
    return data.hex() or "-"
