"""What induction has to show for one subject (ring, revision, choices), goal by goal.

The invariant holds initially; ring indexes are what they are written as. For each step: the atoms of the invariant
that the step may change hold after it; each store fits its field; each judgement made at the step holds; recovery
keeps what determines its outcome; the rank falls. Where nothing that is owed can happen, all is done. Each goal is a
small query of its own. Goals come in groups: ``base`` carries every property, the others only the property that they
are named after (`order` and `restartable` rest on ``counters`` too), so that a deviation that breaks one property
leaves the others provable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import z3

from model.properties import NAMES, Judgement
from model.record import SHARED, Assign, State, record_term
from model.steps import Guard
from model.terms import Term, show, walk
from proofs.induction.atoms import Goal, atoms
from proofs.induction.proof import Proof
from proofs.induction.restart import recovery_keeps, recovery_leaves
from proofs.induction.solver import INT
from proofs.induction.walks import BOUND, walk_goals
from proofs.induction.work import AnyState, Rest, StepWork, Work, part
from proofs.search.judges import UNFAIR

__all__ = ["goals_of", "works"]


def works(proof: Proof) -> dict[str, Work]:
    """Give where goals of a subject are shown, by name: ``initial``, ``any state``, each step's id, ``drains``."""
    fair = "".join(show(r.guard) for r in proof.steps if r.step.id not in UNFAIR)
    places = [Work(proof, "initial", ""), AnyState(proof, "any state", ""), *(StepWork(proof, r) for r in proof.steps)]
    return {work.id: work for work in (*places, Rest(proof, "drains", fair))}


def goals_of(work: Work) -> list[Goal]:
    """Give everything that is to be shown there; no two goals have the same kind and name."""
    if isinstance(work, StepWork):
        kinds = (_rewrites, _cases, _sums, _walks, _kept, _fits, _judged, recovery_keeps, recovery_leaves, _falls)
        goals = [goal for kind in kinds for goal in kind(work)]
    elif isinstance(work, AnyState):
        goals = list(_indexes(work))
    else:
        goals = list(_stuck(work)) if isinstance(work, Rest) else list(_initial(work))
    names = [(goal.kind, goal.name) for goal in goals]
    assert len(set(names)) == len(names), f"two goals of {work.id} have one name"
    return goals


# The initial state, and any state.


def _initial(work: Work) -> Iterator[Goal]:
    """Say that the invariant holds in the initial state."""
    for atom in work.proof.atoms.values():
        yield Goal(atom.group, "initial", atom.name, f"initially {show(atom.term)}", partial(_holds, work, atom.term))


def _holds(work: Work, term: Term) -> Any:
    values, known = work.initially
    return z3.Implies(z3.And(known), work.translator.expr(term, values))


def _indexes(work: Work) -> Iterator[Goal]:
    """Say that a ring index is what other goals write it as, in every state of the invariant."""
    for name, index in work.ring.indexes.items():
        text = f"{name} {show(record_term(work.table.vars, index))}"
        yield Goal("base", "index", f"{name} is a position", text, partial(_is_position, work, name, index))


def _is_position(work: Work, name: str, index: Guard) -> Any:
    return work.before[name] == work.translator.index(index, work.before)


def _stuck(work: Work) -> Iterator[Goal]:
    """Say, link by link, that where nothing that is owed can happen the driver has seen everything."""
    before: list[Term] = []
    lemmas: list[Any] = []
    for name, holds in work.ring.stuck(work.table):
        for lemma, to_show, follows in work.ring.stuck_lemmas(name, work.translator, work.before):
            facts = partial(_known, work, tuple(before), tuple(lemmas))
            yield Goal("drains", "stuck", f"{name}: {lemma}", f"{name}: {lemma}", partial(_itself, to_show), facts)
            lemmas.append(follows)
        link = record_term(work.table.vars, holds)
        facts = partial(_known, work, tuple(before), tuple(lemmas))
        text = " ".join(show(term) for term in (*before, link))
        yield Goal("drains", "stuck", name, text, partial(work.translator.expr, link, work.before), facts)
        before.append(link)


def _itself(expr: Any) -> Any:
    return expr


def _known(work: Work, before: Iterable[Term], lemmas: Iterable[Any]) -> list[Any]:
    return [*lemmas, *(work.translator.expr(term, work.before) for term in before)]


# A step: what it may be exchanged for.


def _rewrites(work: StepWork) -> Iterator[Goal]:
    for name, index in work.positions.items():
        text = f"{name} {show(record_term(work.table.vars, index))}"
        yield Goal("base", "rewrite", f"{name} is a position", text, partial(_is_position, work, name, index))


def _cases(work: StepWork) -> Iterator[Goal]:
    told = work.ring.cases.get(work.id, ())
    if told:
        text = " ".join(show(record_term(work.table.vars, case)) for case in told)
        yield Goal("base", "case", "there is no other case", text, lambda: z3.Or([z3.And(c) for c in work.cases]))


def _judgements(work: StepWork) -> Iterator[tuple[Judgement, Term]]:
    for judgement in work.proof.judgements:
        if judgement.tag in work.step.tags:
            args = (Term("choice"),) if judgement.before and work.step.choice else ()
            yield judgement, record_term(work.table.vars, judgement.predicate, *args)


def _loops(work: StepWork) -> Iterator[tuple[str, bool, Term]]:
    """Give the terms in which something may stand for a loop: where (by the kit's names), before or after the step."""
    yield from ((work.id, True, a.value) for a in (*work.recorded.assigns, *work.recorded.history))
    yield from ((judgement.property, judgement.before, term) for judgement, term in _judgements(work))


def _sums(work: StepWork) -> Iterator[Goal]:
    """Say that each count is an element of an array of sums, by induction up to the term's own limit.

    A count in what a property says belongs to that property; one in a step to all.
    """
    found: list[Goal] = []
    for where, before, term in _loops(work):
        for node in walk(term):
            if node.op in ("count", "total"):
                array, group = work.ring.counts[where], where if where in NAMES else "base"
                for number, name in enumerate(("counts from 0", "counts on", "has an end")):
                    text = f"{array} {name} {before} {show(node)}"
                    expr = partial(_said_of_sum, work, node, where, before, number)
                    found.append(Goal(group, "sum", f"{array} {name}", text, expr))
    yield from _once(found)


def _said_of_sum(work: StepWork, node: Term, where: str, before: bool, number: int) -> Any:
    return work.sum_of(node, where, work.world(before=before))[number + 1]


def _walks(work: StepWork) -> Iterator[Goal]:
    """Show what each walk passes."""
    found: list[Goal] = []
    for where, before, term in _loops(work):
        told = work.ring.walks.get(where)
        for name, said in walk_goals(term, told, work.table.vars) if told else ():
            expr = partial(_said_of_walk, work, said, before)
            found.append(Goal("base", "walk", name, f"{before} {show(said)}", expr))
    yield from _once(found)


def _said_of_walk(work: StepWork, said: Term, before: bool) -> Any:
    bound = {name: work.translator.fresh(name, INT) for name in BOUND}
    return work.translator.expr(said, work.world(before=before), bound)


def _once(goals: Iterable[Goal]) -> Iterator[Goal]:
    """Leave out what is said twice; number what has one name and says something else."""
    said: dict[str, list[str]] = {}
    for goal in goals:
        texts = said.setdefault(goal.name, [])
        if goal.text not in texts:
            texts.append(goal.text)
            yield goal if len(texts) == 1 else replace(goal, name=f"{goal.name} ({len(texts)})")


# A step: what it keeps, what it stores, what is judged.


def _kept(work: StepWork) -> Iterator[Goal]:
    """Say that the atoms that speak of what the step writes hold after it."""
    writes = {a.name for a in (*work.recorded.assigns, *work.recorded.history)}
    for atom in work.proof.atoms.values():
        if atom.reads & writes:
            text = f"kept {work.proof.texts[atom.name]}"
            yield Goal(atom.group, "kept", atom.name, text, partial(_still, work, atom.term))


def _still(work: StepWork, term: Term) -> Any:
    """Say that an atom holds after the step: of any numbers, where the kit says what to think of besides them."""
    translator, beside = work.translator, work.ring.beside.get(work.id)
    if beside is None:
        return translator.expr(term, work.after)
    bound: dict[str, Any] = {}
    inside: list[Any] = []
    while term.op == "forall":
        low, limit, name = part(term, 1), part(term, 2), str(term.args[0])
        number = bound[name] = translator.fresh("any", INT)
        inside += [
            translator.expr(low, work.after, bound) <= number,
            number < translator.expr(limit, work.after, bound),
        ]
        for told in beside(State(work.table.vars), Term("bound", (name,))):
            inside.append(translator.fresh("beside", INT) == translator.expr(told, work.before, bound))
        term = part(term, 3)
    return z3.Implies(z3.And(inside), translator.expr(term, work.after, bound))


def _fits(work: StepWork) -> Iterator[Goal]:
    """Say that what is stored to shared memory has the width of its field, at an element that there is."""
    for assign in work.recorded.assigns:
        var = work.table.vars[assign.name]
        if var.kind not in SHARED:
            continue
        if var.width and var.name not in work.ring.no_wrap:
            at = show(assign.index) if isinstance(assign.index, Term) else assign.index
            text = f"{var.name} {var.width} [{at}] {show(assign.value)}"
            yield Goal("base", "fits", f"{var.name} fits", text, partial(_has_width, work, assign, var.width))
        if isinstance(assign.index, Term):
            text = f"index {var.name} {var.limit} {show(assign.index)}"
            yield Goal("base", "fits", f"{var.name} has the element", text, partial(_inside, work, assign, var.limit))


def _has_width(work: StepWork, assign: Assign, width: int) -> Any:
    if isinstance(assign.index, str):
        each = {assign.index: work.translator.fresh("each", INT)}
        value = work.translator.expr(assign.value, work.rewritten, each)
    else:
        value = work.translator.expr(work.plain(assign), work.rewritten)
    return z3.And(value >= 0, value < (1 << width))


def _inside(work: StepWork, assign: Assign, limit: str | None) -> Any:
    assert isinstance(assign.index, Term)
    at, translator = work.translator.expr(assign.index, work.rewritten), work.translator
    ends = {"size": translator.size, "entries": translator.region_size, "heads": translator.heads}
    return z3.And(at >= 0, at < ends[str(limit)])


def _judged(work: StepWork) -> Iterator[Goal]:
    """Say the predicate of each judgement that is made at the step, part by part."""
    found: list[Goal] = []
    for judgement, term in _judgements(work):
        for number, said in enumerate(atoms(term)):
            name, text = f"{judgement.property}:{number}", f"judged {judgement.before} {show(said)}"
            expr = partial(_judgement, work, said, judgement)
            found.append(Goal(judgement.property, "judged", name, text, expr))
    yield from _once(found)


def _judgement(work: StepWork, said: Term, judgement: Judgement) -> Any:
    world = work.world(before=judgement.before)
    return work.translator.expr(work.resolved(said, judgement.property, world), world)


def _falls(work: StepWork) -> Iterator[Goal]:
    """Say that every step that is owed lowers the rank."""
    if work.id not in UNFAIR:
        yield Goal("drains", "rank", "the rank falls", work.proof.rank_text, partial(_lower, work))


def _lower(work: StepWork) -> Any:
    same, lower = z3.BoolVal(True), []
    for number in work.proof.ranks:
        old, new = work.translator.expr(number, work.before), work.translator.expr(number, work.after)
        lower.append(z3.And(same, new < old, new >= 0))
        same = z3.And(same, new == old)
    return z3.Or(lower)
