"""Runs the goals of many subjects on all cores, each shared query once, and says which properties they prove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from model import protocol
from model.terms import ModelError
from proofs.induction import show
from proofs.induction.kits import NoProofError
from proofs.induction.proof import Proof
from proofs.induction.show import Query, Result, hint_key, hints, queries, solve
from proofs.induction.words import rests_on
from proofs.workers import workers

__all__ = ["Outcome", "Solve", "groups_for", "proof_of", "prove_all"]


@dataclass
class Outcome:
    """What was proved: per subject the queries, per key the result; per ring the hints that were found."""

    asked: dict[protocol.Subject, list[Query]] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    own: dict[tuple[protocol.Subject, str], Result] = field(default_factory=dict)
    cores: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    wanted: dict[protocol.Subject, set[str]] = field(default_factory=dict)
    failed: dict[protocol.Subject, str] = field(default_factory=dict)

    def properties(self, subject: protocol.Subject) -> set[str]:
        """Give the properties that are proved for a subject."""
        if subject in self.failed or subject not in self.asked:
            return set()
        bad = {q.group for q in self.unproved(subject)}
        shown = {q.group for q in self.asked[subject]}
        return {name for name in self.wanted[subject] if name in shown and not bad & groups_for([name])}

    def result(self, subject: protocol.Subject, query: Query) -> Result:
        """Give the result of a query: the subject's own, where it could not be shared."""
        return self.own.get((subject, query.key)) or self.results[query.key]

    def unproved(self, subject: protocol.Subject) -> list[Query]:
        """Give the goals of a subject that the solver did not prove."""
        return [q for q in self.asked.get(subject, []) if self.result(subject, q).status != "proved"]

    def seconds(self, subject: protocol.Subject) -> float:
        """Give the solver's time on the goals of a subject, shared ones included."""
        return sum(self.result(subject, q).seconds for q in self.asked.get(subject, []))


_proofs: dict[protocol.Subject, Proof] = {}
_known: dict[str, dict[str, list[str]]] = {}
"""The recorded hints, by ring."""


def proof_of(subject: protocol.Subject) -> Proof:
    """Give the proof of a subject that was asked, or make it."""
    return _proofs.get(subject) or Proof(subject)


def groups_for(properties: Iterable[str]) -> set[str]:
    """Give the groups of goals that some properties rest on."""
    return {group for name in properties for group in rests_on(name)}


MOST = 40
"""Atoms in a hint that is added to another; what needs more is asked with all of them as well."""

Solve = Callable[[Proof, list[Query], dict[str, list[str]]], list[Result]]
"""Asks the goals of one subject; the hints are given too."""


def _run(job: tuple[protocol.Subject, list[Query], bool, Solve | None]) -> list[Result]:
    subject, wanted, core, by = job
    if by is not None:
        return by(_proofs[subject], wanted, _known[subject.ring])
    tries = show.TRIES[:1] if core and subject.choices else show.TRIES
    return solve(_proofs[subject], wanted, _known[subject.ring], core=core, tries=tries)


def prove_all(
    subjects: Iterable[protocol.Subject],
    *,
    core: bool = False,
    properties: Mapping[protocol.Subject, set[str]] | None = None,
    only: set[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    by: Solve | None = None,
) -> Outcome:
    """Prove what can be proved of the subjects; with `core`, find hints for goals that have none.

    `properties` says which properties of a subject to prove (all of them, if left out); `progress` is told how many of
    how many goals are done; `only` leaves all steps out but some, for tests; `by` asks the goals instead of Z3 alone.
    """
    outcome = Outcome()
    _known.clear()
    jobs: dict[tuple[protocol.Subject, str], list[Query]] = {}
    seen: set[str] = set()
    for subject in subjects:
        known = _known.setdefault(subject.ring, hints(subject.ring))
        try:
            _proofs[subject] = Proof(subject)
        except (KeyError, StopIteration, ValueError, LookupError, ModelError, NoProofError) as error:
            outcome.failed[subject] = str(error)
            continue
        outcome.wanted[subject] = set(protocol.properties(subject)) if properties is None else properties[subject]
        groups = groups_for(outcome.wanted[subject])
        asked = [q for q in queries(_proofs[subject], known) if q.group in groups and (only is None or q.work in only)]
        outcome.asked[subject] = asked
        for query in asked:
            if query.key not in seen:
                seen.add(query.key)
                jobs.setdefault((subject, query.work), []).append(query)
    work = [(s, q, core, by) for (s, _), q in sorted(jobs.items(), key=lambda item: -len(item[1]))]
    total, done = sum(len(q) for _, q, *_ in work), 0
    with workers() as pool:  # the proofs made above are shared, not made again
        for ended in as_completed([pool.submit(_run, job) for job in work]):
            results = ended.result()
            for result in results:
                outcome.results[result.query.key] = result
                if core and result.status == "proved" and result.query.work != "initial":
                    _keep(outcome.cores, result, _known[result.query.ring])
            done += len(results)
            if progress:
                progress(done, total)
        _alone(outcome, pool, by)
    return outcome


def _keep(cores: dict[str, dict[str, list[str]]], result: Result, known: dict[str, list[str]]) -> None:
    """Keep what a goal was shown from, beside what others show their goal of that name from."""
    found, key = cores.setdefault(result.query.ring, {}), hint_key(result.query.work, result.query.name)
    was = found.get(key, known.get(key))
    if was is None or len(result.used) <= MOST:
        found[key] = sorted({*(was or ()), *result.used})


def _alone(outcome: Outcome, pool: ProcessPoolExecutor, by: Solve | None) -> None:
    """Run again, for each other subject, what one subject proved from more than the shared key names."""
    jobs: list[tuple[protocol.Subject, list[Query], bool, Solve | None]] = []
    for subject, asked in outcome.asked.items():
        for query in asked:
            result = outcome.results[query.key]
            if result.status == "proved" and not result.shared and result.query is not query:
                jobs.append((subject, [query], False, by))
    for (subject, *_), (result,) in zip(jobs, pool.map(_run, jobs), strict=True):
        outcome.own[subject, result.query.key] = result
