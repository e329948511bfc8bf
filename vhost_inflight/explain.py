"""What `explain` knows, as plain data: a step, a property, a gap, a revision, the difference of two revisions.

Everything is computed from the model's tables, so that an explanation cannot differ from what is proved and run. An
answer is a dictionary of strings, numbers and lists, whose ``kind`` says what it is; vhost_inflight.explain_text makes
text of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from model import protocol
from model.gaps import Gap
from model.properties import NAMES, SENTENCES
from model.proposal import Sentence
from model.record import SHARED, Assign, record_term
from model.steps import Step, Table
from model.terms import ModelError, Term, choice, element, show, substitute, variable

__all__ = ["REVISIONS", "Answer", "changes", "difference", "explain", "ids", "index", "proposed"]

Answer = dict[str, Any]

REVISIONS: Mapping[str, str] = {
    "v6": "the seed: version 6 of the patch, of 2019-02-18",
    "merged": "what went into the public vhost-user specification a week later: v6 and a counter for each entry",
    "hardened": "what the text should have been: merged with every gap closed, and on the packed ring recovery mended",
}
"""Each revision in a sentence."""

_STATES: Mapping[str, str] = {
    "restartable": "in each state of recovery: a crash there, and recovery again, the driver idle, is compared with "
    "going on",
    "drains": "in each state: when the driver waits for a request, something that is owed can still happen, and not "
    "round and round for ever",
}
"""Where the properties are judged that are no predicates of one state."""


def explain(ring: str, name: str) -> Answer:
    """Explain a step, a property, a gap or a revision; raise `ModelError` if there is nothing of that name."""
    if name in SENTENCES:
        return _property(ring, name)
    if name in protocol.judged(ring):
        return _gap(ring, protocol.judged(ring)[name])
    if name in protocol.revisions(ring):
        return _revision(ring, name)
    if name in _places(ring):
        return _step(ring, name)
    raise ModelError(f"there is no step, property, gap or revision {name!r}")


def ids(ring: str) -> list[str]:
    """Give every name that `explain` knows on a ring."""
    return [*_places(ring), *SENTENCES, *protocol.judged(ring), *protocol.revisions(ring)]


def index(ring: str) -> Answer:
    """Give the names that are a ring's own, by kind, each with a sentence: its steps and its gaps."""
    steps = [protocol.table(places[0]).step(name) for name, places in _places(ring).items()]
    procedures = list(dict.fromkeys(step.procedure for step in steps))
    steps.sort(key=lambda step: procedures.index(step.procedure))
    return {
        "kind": "index",
        "ring": ring,
        "steps": [{"id": s.id, "procedure": s.procedure, "sentence": s.sentence} for s in steps],
        "gaps": {gap.name: gap.question for gap in protocol.gaps(ring).values()},
        "readings": {gap.name: gap.question for gap in protocol.readings(ring).values()},
        "later": {gap.name: gap.question for gap in protocol.later(ring).values()},
    }


def difference(ring: str, before: str, after: str) -> Answer:
    """Give the difference of two revisions, under the defaults of the gaps, as a diff of steps."""
    return {
        "kind": "difference",
        "ring": ring,
        "before": before,
        "after": after,
        "changes": changes(_table(ring, before), _table(ring, after)),
        "sentences": _besides(ring) if (before == "hardened") != (after == "hardened") else [],
    }


def _besides(ring: str) -> list[Answer]:
    """Give what hardened says that is of no numbered item: of resets, of in-order use, and of the gaps it closes."""
    return [proposed(sentence) for sentence in protocol.sentences(ring) if sentence.mends and not sentence.number]


# Subjects and tables


def _table(ring: str, revision: str) -> Table:
    return protocol.table(protocol.Subject(ring, revision))


@cache
def _subjects(ring: str) -> tuple[protocol.Subject, ...]:
    """Every revision under the defaults, then every revision under each single deviation from them."""
    revisions = protocol.revisions(ring)
    deviations = [
        protocol.Subject(ring, revision, ((gap.name, alternative.name),))
        for gap in protocol.gaps(ring).values()
        for alternative in gap.alternatives[1:]
        for revision in revisions
        if gap.open_in(revision)
    ]
    return (*(protocol.Subject(ring, r) for r in revisions), *deviations)


@cache
def _places(ring: str) -> dict[str, list[protocol.Subject]]:
    """Give every step's id, in the order of a reading, with the subjects in which it exists."""
    found: dict[str, list[protocol.Subject]] = {}
    order: list[str] = []
    for subject in _subjects(ring):
        before = -1
        for step_id in protocol.table(subject).steps:
            if step_id not in found:
                found[step_id] = []
                order.insert(before + 1, step_id)
            found[step_id].append(subject)
            before = order.index(step_id)
    return {step_id: found[step_id] for step_id in order} | _later_places(ring, order)


def _later_places(ring: str, known: Sequence[str]) -> dict[str, list[protocol.Subject]]:
    """Give the steps that only rings have which are stopped, or reset, with the subjects in which each exists."""
    found: dict[str, list[protocol.Subject]] = {}
    for gap in protocol.later(ring).values():
        for alternative in gap.alternatives[1:]:
            subject = protocol.Subject.of(ring, "hardened", {**dict(gap.along), gap.name: alternative.name})
            for step_id in protocol.table(subject).steps:
                if step_id not in known:
                    found.setdefault(step_id, []).append(subject)
    return found


# Terms in words


def _words(term: Term) -> str:
    """Show a term without the parentheses around it all; empty if it always holds."""
    if term.op == "and" and not term.args:
        return ""
    text = show(term)
    return text[1:-1] if text.startswith("(") else text


def _assignment(assign: Assign) -> str:
    if assign.index is None:
        return f"{assign.name} := {_words(assign.value)}"
    if isinstance(assign.index, Term):
        return f"{show(element(assign.name, assign.index))} := {_words(assign.value)}"
    bound = assign.index

    def named(term: Term) -> Term | None:
        return variable("h") if term.op == "bound" and term.args[0] == bound else None

    target = show(element(assign.name, variable("h")))
    return f"{target} := {_words(substitute(assign.value, named))}, for each h"


def _guard(table: Table, step: Step) -> str:
    return _words(record_term(table.vars, step.when, *((choice(),) if step.choice else ())))


def writing(ring: str, table: Table, step: Step) -> Answer:
    """Give one writing of a step: labels, guards, assignments, what is judged there."""
    recorded = table.record(step)
    judged = {j.property for j in protocol.judgements(ring) if j.tag in step.tags}
    return {
        "text": step.text,
        "sentence": step.sentence,
        "leaves": list(step.at),
        "goes_to": step.to,
        "choice": step.choice,
        "procedure_guard": _words(record_term(table.vars, table.guards[step.procedure])),
        "guard": _guard(table, step),
        "assigns": [_assignment(a) for a in recorded.assigns if a.name != f"{step.procedure}.at"],
        "stores_to": list(dict.fromkeys(a.name for a in recorded.assigns if table.vars[a.name].kind in SHARED)),
        "history": [_assignment(a) for a in recorded.history],
        "judged": [name for name in SENTENCES if name in judged],
    }


def _is_one(before: Table, after: Table, name: str) -> bool:
    """Whether two tables have one and the same step of that name, made of the same functions: one writing, then."""
    step = before.steps[name]
    return (
        step is after.steps.get(name)
        and before.vars is after.vars
        and before.guards[step.procedure] is after.guards[step.procedure]
        and before.history.get(name) is after.history.get(name)
    )


# Steps


def _step(ring: str, name: str) -> Answer:
    places = _places(ring)[name]
    default = [s for s in places if not s.choices]
    changed, missing = _changed_by(ring, name) if default else ([], [])
    return {
        "kind": "step",
        "id": name,
        "ring": ring,
        "procedure": protocol.table(places[0]).step(name).procedure,
        "revisions": [s.revision for s in default],
        "only_with": [] if default else sorted({_deviation(s) for s in places}),
        "writings": _writings(ring, name, default or places),
        "changed_by": changed,
        "missing_with": missing,
        "proposed": [proposed(s, name) for s in protocol.sentences(ring) if name in s.steps and s.mends],
    }


def proposed(sentence: Sentence, step: str = "") -> Answer:
    """Give what the text should say: where, for which mends, and the sentence; of one step less orders of others."""
    alone = step and not sentence.number
    spoken = [w for w in sentence.words if not alone or not w.orders or any(step in pair for pair in w.orders)]
    text = "".join(words.text for words in spoken).replace("``", "").rstrip(",;. ")
    return {
        "place": f"{sentence.place}, {sentence.number}" if sentence.number else "",
        "mends": list(sentence.mends),
        "sentence": text if text.endswith(":") else f"{text}.",
    }


def _writings(ring: str, name: str, places: Iterable[protocol.Subject]) -> list[Answer]:
    """Give each way in which a step is written, and in which revisions (and with which choice) it is."""
    found: list[Answer] = []
    for subject in places:
        table = protocol.table(subject)
        written = writing(ring, table, table.step(name))
        where = " ".join(filter(None, (subject.revision, _deviation(subject))))
        same = next((w for w in found if w["writing"] == written), None)
        if same:
            same["in"].append(where)
        else:
            found.append({"in": [where], "writing": written})
    return [{"in": f["in"], **f["writing"]} for f in found]


def _deviation(subject: protocol.Subject) -> str:
    return ", ".join(f"{gap}={chosen}" for gap, chosen in subject.choices)


def _changed_by(ring: str, name: str) -> tuple[list[str], list[str]]:
    """Give the choices under which a step is written otherwise than by default, and those under which it is missing."""
    changed, missing = set(), set()
    for subject in _subjects(ring):
        usual, table = _table(ring, subject.revision), protocol.table(subject)
        if not subject.choices or name not in usual.steps:
            continue
        if name not in table.steps:
            missing.add(_deviation(subject))
        elif _is_one(usual, table, name):
            continue
        elif writing(ring, usual, usual.step(name)) != writing(ring, table, table.step(name)):
            changed.add(_deviation(subject))
    return sorted(changed), sorted(missing)


# Properties, gaps, revisions


def _judged_table(ring: str, name: str) -> Table:
    """Give a table in which a property is judged: that of the text, or of a ring that is stopped."""
    if name in NAMES:
        return _table(ring, protocol.revisions(ring)[0])
    return protocol.table(protocol.Subject.of(ring, "hardened", dict(protocol.later(ring)["after-answer"].along)))


def _property(ring: str, name: str) -> Answer:
    judged = []
    for judgement in (j for j in protocol.judgements(ring) if j.property == name):
        table = _judged_table(ring, name)
        steps = [s for s in table.steps.values() if judgement.tag in s.tags]
        if not steps:
            continue  # of rings that are used in order alone
        chosen = judgement.before and any(s.choice for s in steps)
        predicate = record_term(table.vars, judgement.predicate, *((choice(),) if chosen else ()))
        judged.append(
            {
                "when": f"{'before' if judgement.before else 'after'} {', '.join(s.id for s in steps)}",
                "steps": [s.id for s in steps],
                "sentence": " ".join((judgement.predicate.__doc__ or "").split()),
                "predicate": _words(predicate),
            }
        )
    if name in _STATES:
        judged.append({"when": _STATES[name], "steps": [], "sentence": "", "predicate": ""})
    return {"kind": "property", "id": name, "ring": ring, "sentence": SENTENCES[name], "judged": judged}


def _gap(ring: str, gap: Gap) -> Answer:
    revisions = [r for r in protocol.revisions(ring) if gap.open_in(r)]
    judged = [r for r in protocol.revisions(ring) if gap.judged_in(r)]
    last = (revisions or judged)[-1]
    alternatives, usual = [], protocol.Subject.of(ring, last, dict(gap.along))
    for alternative in gap.alternatives:
        chosen = protocol.Subject.of(ring, last, {**dict(gap.along), gap.name: alternative.name})
        made = changes(protocol.table(usual), protocol.table(chosen))
        alternatives.append({"name": alternative.name, "meaning": alternative.meaning, "changes": made})
    return {
        "kind": "gap" if revisions else "later" if gap.name in protocol.later(ring) else "reading",
        "id": gap.name,
        "ring": ring,
        "question": gap.question,
        "default": gap.default,
        "reason": gap.reason,
        "revisions": revisions,
        "judged": judged,
        "alternatives": alternatives,
        "changes_are_of": usual.name,
        "proposed": [proposed(s) for s in protocol.sentences(ring) if gap.name in s.mends and not s.number],
        "errata": [erratum.name for erratum in protocol.errata_since().values() if erratum.mend == gap.name],
    }


def _revision(ring: str, name: str) -> Answer:
    revisions = protocol.revisions(ring)
    place = revisions.index(name)
    before = revisions[place - 1] if place else None
    return {
        "kind": "revision",
        "id": name,
        "ring": ring,
        "sentence": REVISIONS[name],
        "steps": list(_table(ring, name).steps),
        "open_gaps": [g.name for g in protocol.gaps(ring).values() if g.open_in(name)],
        "before": before,
        "changes": changes(_table(ring, before), _table(ring, name)) if before else [],
        "sentences": _besides(ring) if name == "hardened" else [],
    }


# Differences


def changes(before: Table, after: Table) -> list[Answer]:
    """Give the steps that were inserted, removed or replaced, and the procedures whose guard was."""
    found: list[Answer] = []
    for name in dict.fromkeys([*before.steps, *after.steps]):
        old, new = before.steps.get(name), after.steps.get(name)
        if old and _is_one(before, after, name):
            continue
        was = writing(before.ring, before, old) if old else {}
        now = writing(after.ring, after, new) if new else {}
        change = "inserted" if old is None else "removed" if new is None else "replaced"
        parts = [{"part": k, "old": was.get(k), "new": now.get(k)} for k in (was or now) if was.get(k) != now.get(k)]
        parts = [p for p in parts if p["part"] != "procedure_guard" or change != "replaced"]
        if parts:
            step = new or old
            assert step is not None
            found.append({"change": change, "id": name, "procedure": step.procedure, "parts": parts})
    for procedure in before.guards:
        old_guard, new_guard = (_words(record_term(t.vars, t.guards[procedure])) for t in (before, after))
        if old_guard != new_guard:
            parts = [{"part": "procedure_guard", "old": old_guard, "new": new_guard}]
            found.append({"change": "replaced", "id": f"procedure {procedure}", "procedure": procedure, "parts": parts})
    return _in_order(found, list(after.steps), list(before.steps))


def _in_order(changes: list[Answer], after: list[str], before: list[str]) -> list[Answer]:
    """Sort by the place in the newer table; what is gone stands behind what it stood behind in the older one."""
    place = {name: (n, 1) for n, name in enumerate(after)}
    for n, name in enumerate(before):
        if name not in place:
            earlier = next((b for b in reversed(before[:n]) if b in place), None)
            place[name] = (place[earlier][0], 2 + n) if earlier else (-1, n)
    return sorted(changes, key=lambda c: place.get(c["id"], (len(after), 0)))
