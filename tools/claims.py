"""The table of docs/properties.md: from each property's sentence to what says, proves, breaks and tries it.

Everything in it is read off: predicates from the model's judgements, sentences from the invariants, mutants from the
record, judges from the sources that name the property.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from model import protocol
from model.properties import NAMES, SENTENCES
from proofs.challenges.fates import load
from proofs.induction.engine import groups_for
from proofs.induction.kits import induction_of

__all__ = ["rows"]

ROOT = Path(__file__).parents[1]
PROVED = {"split": "merged", "packed": "hardened"}
"""The revision that holds, for each ring."""

BY_WHAT = {
    "restartable": "two recoveries are compared",
    "drains": "a rank, and what nobody owes; on a run, where it gets stuck or goes round",
}
"""What is judged without a predicate of one state."""

JUDGES = {
    "on real memory, in one process": ("vhost_inflight/judging/play", "tests/meet/test_replay.py"),
    "by killed processes": ("vhost_inflight/judging/crash", "tests/meet/test_crashtest.py"),
}
"""Where a property is judged outside the model: the sources, and a test that runs them."""


def rows() -> Iterator[tuple[str, ...]]:
    """Give a row for each property: name and sentence, predicates, what proves it, its mutants, its judges."""
    for name in NAMES:
        yield (
            f"**{name}**: {SENTENCES[name]}",
            "<br>".join(_of_each_ring(lambda ring, n=name: _predicates(ring, n))) or BY_WHAT[name],  # type: ignore[misc]
            "<br>".join(_of_each_ring(lambda ring, n=name: _sentences(ring, n))),  # type: ignore[misc]
            "<br>".join(_of_each_ring(lambda ring, n=name: _mutants(ring, n))),  # type: ignore[misc]
            "<br>".join(_judges(name)),
        )


def _proved(ring: str) -> protocol.Subject:
    return protocol.Subject(ring, PROVED[ring])


def _link(text: str, path: str) -> str:
    return f"[{text}](../{path})"


def _of_each_ring(told: Callable[[str], str]) -> Iterator[str]:
    for ring in protocol.RINGS:
        if said := told(ring):
            yield f"{ring}: {said}"


def _predicates(ring: str, name: str) -> str:
    """Name the predicates, and the steps at which each is judged, by tag; those of other readings are left out."""
    at: dict[str, list[str]] = {}
    tags = {tag for step in protocol.table(_proved(ring)).steps.values() for tag in step.tags}
    for judgement in protocol.judgements(ring):
        if judgement.property == name and judgement.tag in tags:
            at.setdefault(judgement.predicate.__name__, []).append(judgement.tag)
    page = f"model/{ring}/properties.py"
    return ", ".join(f"{_link(f'`{predicate}`', page)} ({', '.join(tags)})" for predicate, tags in at.items())


def _sentences(ring: str, name: str) -> str:
    """Count the sentences of the invariant that its proof may use, by group, for the revision that holds."""
    table = induction_of(ring).with_ghosts(protocol.table(_proved(ring)))
    counts = Counter(sentence.group for sentence in induction_of(ring).invariant(table))
    groups = sorted(groups_for([name]) & set(counts))
    return _link(", ".join(f"{counts[g]} {g}" for g in groups), f"proofs/{ring}/invariant.py")


def _mutants(ring: str, name: str) -> str:
    """Count the mutants whose recorded run violates it, and name one that it alone kills first."""
    dead = [fate.mutant for fate in load(ring) if fate.killed_by == name]
    page = {"split": "docs/orders.md", "packed": "docs/orders-packed.md"}[ring]
    return _link(f"{len(dead)}, as *{dead[0]}*", page) if dead else ""


def _judges(name: str) -> Iterable[str]:
    for what, (folder, test) in JUDGES.items():
        finds = re.compile(rf'\(\s*"{name}",')
        sources = sorted(p for p in (ROOT / folder).rglob("*.py") if finds.search(p.read_text(encoding="utf-8")))
        if sources:
            files = ", ".join(_link(f"`{p.relative_to(ROOT / folder)}`", str(p.relative_to(ROOT))) for p in sources)
            yield f"{what}: {files} ({_link('test', test)})"
