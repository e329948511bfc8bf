"""The verdict on an answer: whether it is one of those that are right, and if not, where it differs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from vhost_inflight.telling import printable
from vhost_inflight.vectors.checking import places, stores
from vhost_inflight.vectors.form import Outcome, Recovered, Refused, Vector
from vhost_inflight.vectors.messages import Answered

__all__ = ["VERDICTS", "Verdict", "judge", "unsupported", "wedged"]

VERDICTS: Final = ("pass", "fail", "reject", "wedged", "unsupported")
"""pass: right. fail: wrong. reject: refused what has to be taken. wedged: no answer. unsupported: a legal answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one vector: a word, in what the answer differs (a line each), and whose fault that is.

    ``note``: what is told of an answer that is right all the same.
    """

    vector: Vector
    word: str
    differs: tuple[str, ...] = ()
    fault: str | None = None
    note: str | None = None

    @property
    def bad(self) -> bool:
        """Whether it counts against the program."""
        return self.word not in {"pass", "unsupported"}

    @property
    def rule(self) -> str:
        """The place in the text that the vector is about."""
        step = f", after {self.vector.step}" if self.vector.step else ""
        return f"{self.vector.revision}, {self.vector.section}{step}"


def wedged(vector: Vector, *why: str) -> Verdict:
    """Give the verdict on a case that no answer came to; ``why`` are lines."""
    return Verdict(vector, "wedged", why, "the adapter's, or the back-end's in it")


def unsupported(vector: Vector, why: str) -> Verdict:
    """Give the verdict on a case that the adapter says it has nothing for."""
    return Verdict(vector, "unsupported", (why,))


def judge(vector: Vector, answered: Answered, choices: Collection[str] = ()) -> Verdict:
    """Give the verdict on an answer: it has to be one of those that the vector has.

    ``choices`` are those that the adapter says of itself (``gap=choice``): some answers are right with them alone.
    """
    vector = replace(vector, outcomes=tuple(one for one in vector.outcomes if one.is_for(choices)))
    if answered.unsupported is not None:
        return unsupported(vector, printable(answered.unsupported))
    if answered.error is not None:
        return Verdict(vector, "fail", (f"the adapter has no answer: {printable(answered.error)}",), "the adapter's")
    result = answered.result
    refusals = [o.answer.culprit for o in vector.outcomes if isinstance(o.answer, Refused)]
    if isinstance(result, Refused):
        return _refused(vector, result, refusals)
    if len(refusals) == len(vector.outcomes):
        what = f"it takes what it has to refuse: {_breaks(refusals[0])}"
        return Verdict(vector, "fail", (what,), "the back-end's")
    found = [(tuple(_differences(vector, outcome, result)), outcome) for outcome in vector.outcomes
             if not isinstance(outcome.answer, Refused)]  # fmt: skip
    differs, nearest = min(found, key=lambda one: len(one[0]))
    if not differs:
        return Verdict(vector, "pass")
    return Verdict(vector, "fail", (*_which(vector, nearest), *differs), "the back-end's")


def _refused(vector: Vector, result: Refused, refusals: list[str]) -> Verdict:
    if not refusals:
        what = f"it refuses, and blames the {result.culprit}; nobody broke a rule, and the guest waits for its requests"
        return Verdict(vector, "reject", (what,), "the back-end's")
    if result.culprit in refusals:
        return Verdict(vector, "pass")
    return Verdict(vector, "pass", note=f"it blames the {result.culprit}, and it was the {refusals[0]}")


def _breaks(culprit: str) -> str:
    if culprit == "back-end":
        return "no back-end that follows the text can have left this region"
    return f"the {culprit} broke a rule"


def _which(vector: Vector, outcome: Outcome) -> Iterator[str]:
    """Say which of several right answers a wrong one is compared with."""
    if len(vector.outcomes) > 1:
        chosen = ", ".join(f"{gap}={choice}" for gap, choice in outcome.gaps.items()) or "all defaults"
        yield f"none of the {len(vector.outcomes)} right answers; from the nearest ({chosen}) it differs so:"


def _differences(vector: Vector, outcome: Outcome, result: Any) -> Iterator[str]:
    """Yield in what an answer differs from a right one."""
    answer = outcome.answer
    if isinstance(answer, tuple):
        wrong = stores.difference(vector, answer, result)
        if wrong:
            yield wrong
        return
    assert isinstance(answer, Recovered), "a refusal is judged elsewhere"
    for name in ("resubmit", "next_avail", "used", "counter"):
        must, did = getattr(answer, name), getattr(result, name)
        if name == "counter" and (must is None or (did is not None and did >= must)):
            continue  # it is greater than that of each request in flight
        if must != did:
            yield f"{name} is {_shown(did)}, and has to be {_shown(must)}"
    if None not in (answer.chains, result.chains) and answer.chains != result.chains:
        yield f"the descriptors of what is resubmitted are {_chains(result)}, and have to be {_chains(answer)}"
    yield from _bytes(vector, ("region", answer.region, answer.region_mask), result.region)
    memory: Mapping[str, bytes] = result.ring_memory
    for part, content in answer.ring_memory.items():
        mask = answer.ring_mask.get(part, b"")
        if part in memory:
            yield from _bytes(vector, (part, content, mask), memory[part])
        elif any(mask):
            yield f"{part} is missing in the answer"


def _chains(answer: Recovered) -> str:
    return "; ".join(_listed([str(one) for one in chain]) for chain in answer.chains or ()) or "nothing"


def _bytes(vector: Vector, right: tuple[str, bytes, bytes], content: bytes) -> Iterator[str]:
    """Say the first byte of a part that differs where the mask counts, and how many more do."""
    part, must, mask = right
    if len(content) != len(must):
        yield f"{part} has {len(content)} bytes in the answer, and was given with {len(must)}"
        return
    counted = _masked(must, mask) ^ _masked(content, mask)
    if not counted:
        return
    wrong = [offset for offset, bits in enumerate(counted.to_bytes(len(must), "big")) if bits]
    first = wrong[0]
    more = f"; {len(wrong) - 1} more bytes of {part} differ" if len(wrong) > 1 else ""
    yield (f"{places.name(vector.given, part, first)} is {content[first] & mask[first]:02x}, "
           f"and has to be {must[first] & mask[first]:02x}{more}")  # fmt: skip


def _masked(content: bytes, mask: bytes) -> int:
    """Give the bits that count, as one number; a mask that is shorter ends in bits that do not."""
    mask = mask[: len(content)].ljust(len(content), b"\0")
    return int.from_bytes(content, "big") & int.from_bytes(mask, "big")


def _shown(value: Any) -> str:
    """Write requests and positions as the text form does; of a long list the beginning."""
    if value is None:
        return "nothing"
    if isinstance(value, tuple) and value and not all(isinstance(one, int) for one in value):
        return _listed([":".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in value])
    if isinstance(value, tuple):
        return _listed([str(one) for one in value])
    return str(value)


def _listed(words: list[str]) -> str:
    shown = " ".join(words[:16]) or "nothing"
    return f"{shown} ... ({len(words)} in all)" if len(words) > 16 else shown
