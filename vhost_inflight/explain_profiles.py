"""What `explain` says of a profile: what a back-end of others does, as differences from the text, and what is known."""

from __future__ import annotations

from collections.abc import Iterator

from model import protocol
from model.profiles.profile import MENDED, Difference
from model.protocol import Subject
from proofs.report import known
from proofs.verdicts import Verdict, recorded_profiles
from vhost_inflight.explain import Answer, changes

__all__ = ["profile", "profiles", "text"]


def profiles(ring: str | None = None) -> dict[str, str]:
    """Give the names of the profiles, on one ring or on any, and the program that each is of."""
    rings = [ring] if ring else protocol.RINGS
    return {name: each.program for r in rings for name, each in protocol.profiles(r).items()}


def profile(ring: str, name: str) -> Answer:
    """Explain a profile: program, version, differences with function and sentence, verdicts, and the mend."""
    told = protocol.profiles(ring)[name]
    mended = None
    if name + MENDED in protocol.profiles(ring):
        mended = {
            "name": name + MENDED,
            "base": told.mended_base,
            "without": sorted(told.without),
            "adds": [_difference(d) for d in told.mend],
            "verdicts": _verdicts(ring, name + MENDED),
        }
    base, own = (protocol.table(Subject(ring, revision)) for revision in (told.base, name))
    return {
        "kind": "profile",
        "id": name,
        "ring": ring,
        "program": told.program,
        "read": told.read,
        "base": told.base,
        "differences": [_difference(d) for d in told.differences],
        "besides": list(told.besides),
        "verdicts": _verdicts(ring, name),
        "mended": mended,
        "changes": changes(base, own),
    }


def _difference(difference: Difference) -> Answer:
    return {
        "name": difference.name,
        "function": difference.function,
        "says": difference.says,
        "choices": dict(difference.choices),
    }


def _verdicts(ring: str, name: str) -> list[Answer]:
    return [_verdict(v) for v in recorded_profiles(ring) if v.revision == name]


def _verdict(verdict: Verdict) -> Answer:
    run = None if verdict.counterexample is None else f"{verdict.ring}/{verdict.counterexample.removesuffix('.json')}"
    return {"property": verdict.property, "verdict": verdict.verdict, "known": known(verdict), "run": run}


def text(answer: Answer) -> Iterator[tuple[str, str]]:
    """Yield the lines of an answer: a label, and what stands beside it; an empty label where it goes on."""
    yield "program", answer["program"]
    yield "read", answer["read"]
    yield "differs", f"from {answer['base']}, in:"
    for difference in answer["differences"]:
        yield "", _said(difference)
    for number, sentence in enumerate(answer["besides"]):
        yield "besides" if not number else "", sentence
    yield from _judged("verdicts", answer["verdicts"])
    if answer["mended"]:
        mended = answer["mended"]
        without = f"without {', '.join(mended['without'])}" if mended["without"] else "nothing is left out"
        yield "mend", f"{mended['name']}: {without}; what is left differs from {mended['base']}"
        for difference in mended["adds"]:
            yield "", f"with {_said(difference)}"
        yield from _judged("mended", mended["verdicts"])


def _said(difference: Answer) -> str:
    chosen = "".join(f" [{gap}={choice}]" for gap, choice in difference["choices"].items())
    return f"* {difference['name']} ({difference['function']}): {difference['says']}{chosen}"


def _judged(label: str, verdicts: list[Answer]) -> Iterator[tuple[str, str]]:
    if not verdicts:
        yield label, "none recorded"
    for number, one in enumerate(verdicts):
        run = f"; replay {one['run']}" if one["run"] else ""
        yield label if not number else "", f"{one['property']}: {one['known']}{run}"
