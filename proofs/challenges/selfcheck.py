"""The prover checked while it runs: what it showed against the census, shared results, lies, assumptions.

`verify` prints what this counts, not what the prover says of itself; a fault makes it fail.

``python -m proofs.challenges.selfcheck [goals] [lies] [hypotheses]`` does the same without showing the goals that are
true; ``hypotheses`` (`proofs.challenges.hypotheses`) says whether what goals are proved from is true of something.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from model import protocol
from model.properties import ALL
from model.protocol import Subject
from proofs.challenges.canaries import canaries, sings
from proofs.challenges.census import Census, Entry, Place
from proofs.challenges.falsehoods import falsehoods, is_believed
from proofs.challenges.hypotheses import Believed, believable
from proofs.challenges.hypotheses import subjects as with_witnesses
from proofs.challenges.numbers import SIZES, untrue
from proofs.induction.engine import Outcome
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.show import Result, hints, queries
from proofs.workers import workers

__all__ = ["Checked", "as_if_shown", "believed", "check", "lemmas_of", "main", "proved"]

GROUPS = {"order": {"base", "counters", "order"}, "restartable": {"base", "counters", "restartable"}}
"""The groups of goals that a property needs, where it is not the base and its own."""


@dataclass
class Checked:
    """What was counted: goals by kind, different ones, false ones that were asked; and what is wrong."""

    goals: Counter[str] = field(default_factory=Counter)
    different: int = 0
    lies: int = 0
    faults: list[str] = field(default_factory=list)


def proved(entries: Iterable[Entry], shown: Mapping[Place, bool]) -> set[str]:
    """Give the properties of which every goal that must exist was shown."""
    missing = {entry.group for entry in entries if not shown.get(entry.place, False)}
    there = {entry.group for entry in entries}
    return {name for name in ALL if name in there and not missing & GROUPS.get(name, {"base", name})}


def check(ring: str, outcome: Outcome, lemmas: Mapping[str, bool]) -> Checked:
    """Check what was shown of a ring: that nothing is missing, that what is shared is the same, what is assumed."""
    found = Checked()
    contents: dict[str, tuple[str, str]] = {}
    for subject in (s for s in outcome.asked if s.ring == ring):
        found.faults += _of_subject(subject, outcome, lemmas, contents, found)
    found.different = len(contents)
    found.faults += [f"the lemma about {name} was not proved" for name, holds in lemmas.items() if not holds]
    for size in SIZES[ring]:
        found.faults += untrue(ring, size)
    return found


def believed(ring: str, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Ask the prover what is false, on all cores; ``progress`` is told how many of how many parts are done."""
    found, parts = Checked(), 4 * (os.cpu_count() or 1)
    with workers() as pool:
        for done, (lies, faults) in enumerate(pool.map(_ask, [(ring, n, parts) for n in range(parts)]), start=1):
            found.lies += lies
            found.faults += faults
            if progress:
                progress(done, parts)
    return found


def _ask(job: tuple[str, int, int]) -> tuple[int, list[str]]:
    """Ask every so many-th of what is false: how many, and which were believed."""
    ring, first, parts = job
    lies = list(islice(_lies(ring), first, None, parts))
    return len(lies), [said for is_proved, said in lies if is_proved()]


def _lies(ring: str) -> Iterator[tuple[Callable[[], bool], str]]:
    """Give everything false that the prover is asked: whether it is proved, and what it is."""
    for canary in canaries(ring):
        yield partial(sings, canary), f"proved, and false: {canary.kind}, {canary.name}"
    for lie in falsehoods(ring):
        yield partial(is_believed, lie), f"proved, and false: {lie.kind}, {lie.what} ({lie.work})"
    for name, lemma in induction_of(ring).lemmas.items():
        yield partial(lemma, 2), f"proved, and false: the lemma about {name}, further than it reaches"


def _of_subject(
    subject: Subject,
    outcome: Outcome,
    lemmas: Mapping[str, bool],
    contents: dict[str, tuple[str, str]],
    found: Checked,
) -> Iterator[str]:
    """Compare the goals of a subject that were asked with those that must exist, and what follows from them."""
    name = f"{subject.ring} {subject.name}"
    entries = Census(subject, hints(subject.ring)).entries
    wanted = {g for p in outcome.wanted[subject] for g in GROUPS.get(p, {"base", p})}
    must = {place: e for place, e in entries.items() if e.group in wanted}
    asked = {(q.work, q.kind, q.name): q for q in outcome.asked[subject]}
    shown = {place: outcome.result(subject, q).status == "proved" for place, q in asked.items()}
    shown |= {("lemmas", "lemma", lemma): holds for lemma, holds in lemmas.items()}
    for place in sorted(must.keys() - shown.keys()):
        yield f"{name}: no such goal was shown: {', '.join(place)}"
    for place in sorted(asked.keys() - must.keys()):
        yield f"{name}: a goal that the census does not know: {', '.join(place)}"
    claimed, counted = outcome.properties(subject), proved(must.values(), shown) & outcome.wanted[subject]
    for prop in sorted(claimed ^ counted):
        told = "" if prop in claimed else "not "
        yield f"{name}: {prop} is {told}said to be proved, and the census says otherwise"
    for place in asked.keys() & must.keys():
        key, content = asked[place].key, must[place].content
        first = contents.setdefault(key, (content, name))
        if first[0] != content:
            yield f"{name}: {', '.join(place)} shares its result with another goal, of {first[1]}"
    found.goals.update(place[1] for place in must)


def lemmas_of(ring: str) -> dict[str, bool]:
    """Prove what is assumed of functions of positions, once, by name."""
    return {name: lemma() for name, lemma in induction_of(ring).lemmas.items()}


def as_if_shown(ring: str, subjects: Iterable[Subject]) -> Outcome:
    """Ask for every goal of some subjects, and take each as shown: what is missing can be told without a solver."""
    outcome = Outcome()
    for subject in subjects:
        outcome.wanted[subject] = set(protocol.properties(subject))
        outcome.asked[subject] = queries(Proof(subject), hints(ring))
        outcome.results |= {q.key: Result(q, "proved", 0.0) for q in outcome.asked[subject]}
    return outcome


def _claims_too_much(outcome: Outcome, subject: Subject) -> Iterator[str]:
    """Take one goal of each group as not shown: no property that needs it may be claimed."""
    for group in dict.fromkeys(q.group for q in outcome.asked[subject]):
        query = next(q for q in outcome.asked[subject] if q.group == group)
        results = {**outcome.results, query.key: Result(query, "unknown", 0.0)}
        claimed = replace(outcome, results=results).properties(subject)
        for name in sorted(claimed):
            if group in GROUPS.get(name, {"base", name}):
                yield f"{subject.ring} {subject.name}: {name} is said to be proved without {query.name}"


SOME: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "split": ({}, {"fetch-in-batch": "always"}, {"used-element": "before-publish"}),
    "packed": ({}, {"settle": "wide"}, {"event-kind": "index"}),
}
"""Choices that are enough to tell whether results are shared wrongly."""


def _subjects(ring: str) -> list[Subject]:
    revisions = {"split": ("v6", "merged"), "packed": ("hardened",)}[ring]
    return [Subject.of(ring, revision, choices) for revision in revisions for choices in SOME[ring]]


def _goals(ring: str) -> Checked:
    """Check the goals of a few subjects; and that what is not shown is not claimed, whatever group it is of."""
    outcome = as_if_shown(ring, _subjects(ring))
    found = check(ring, outcome, lemmas_of(ring))
    found.faults += _claims_too_much(outcome, _subjects(ring)[0])
    return found


def _hypotheses(ring: str) -> Believed:
    """Evaluate what each goal is proved from, on all cores: a subject each."""
    found = Believed()
    with workers() as pool:
        for told in pool.map(believable, with_witnesses(ring)):
            found.add(told)
    return found


def main(arguments: Sequence[str]) -> int:
    """Check ``goals``, ``lies``, ``hypotheses``, or all; print what was counted, what is wrong; give the exit code.

    A ring at a time: where one is wrong, the next is not looked at.
    """
    faults: list[str] = []
    for ring in protocol.RINGS:
        if faults:
            break
        if not arguments or "goals" in arguments:
            found = _goals(ring)
            faults += found.faults
            kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(found.goals.items()))
            print(f"{ring}: {found.goals.total()} goals ({kinds}), {found.different} different")
        if not arguments or "lies" in arguments:
            found = believed(ring)
            faults += found.faults
            print(f"{ring}: {found.lies} lies, {len(found.faults)} believed")
        if not arguments or "hypotheses" in arguments:
            told = _hypotheses(ring)
            faults += told.faults
            print(f"{ring}: {told.sets} hypothesis sets of {told.goals} goals, each true of a state of a witness")
    for fault in faults[:20]:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
