"""The census: which goals must exist, counted from the tables by code that shares nothing with what makes the goals.

`proofs.induction` makes goals and shows them. If it left some out, what it shows would be true and prove too little. So
this module reads the same sources (the table of steps, the sentences of the invariant, the properties' predicates, what
the ring's kit says of sums, walks, cases, what recovery leaves) and says by itself, goal by goal, what has to be shown:

    initial    each part of each sentence of the invariant
    index      each ring index that is written as a function of a position
    rewrite    each variable that is written so at a step
    case       each step whose goals are shown in cases
    sum        each count or total at a step: from 0, on, to an end
    walk       each walk at a step: in each case where it starts, goes on, comes next, stops; what it meets
    kept       each step, and each part of the invariant that speaks of something that the step writes
    fits       each store of a step to shared memory: its width, its element
    judged     each step, and each part of the predicates that are judged at it
    restart    each step of recovery and the crash, and what determines what recovery leaves; what it leaves
    rank       each step that somebody owes
    stuck      each link of the chain from "nothing can happen" to "the driver has everything back"
    lemma      what is assumed of functions of positions

It also writes down what each goal is about (`Entry.content`): where subjects share a result, that has to be the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from model import protocol
from model.protocol import Subject
from model.record import SHARED, record_term
from model.steps import Guard, Recorded, Table
from model.terms import Term
from proofs.induction.kits import Induction, induction_of
from proofs.induction.solver import Translator
from proofs.induction.walks import Along
from proofs.search.judges import UNFAIR
from proofs.search.runs import left

__all__ = ["Census", "Entry", "Place"]

Place = tuple[str, str, str]
"""Where a goal is: the work (a step, ``initial``, ``any state``, ``drains``), the kind, the name."""


@dataclass(frozen=True)
class Entry:
    """One goal that must exist, the group that it belongs to, and a digest of what it is about."""

    place: Place
    group: str
    content: str


@dataclass(frozen=True)
class _Part:
    """A part of a sentence: what it speaks of, and how it is written."""

    reads: frozenset[str]
    text: str


def _below(term: Term) -> Iterator[Term]:
    """Give a term and all below it; what is said for the solver alone (patterns) is left out."""
    stack = [term]
    while stack:
        here = stack.pop()
        yield here
        stack += [a for a in reversed(here.args) if isinstance(a, Term)]


def _spoken_of(*terms: object) -> frozenset[str]:
    found = (n for t in terms if isinstance(t, Term) for n in _below(t))
    return frozenset(str(n.args[0]) for n in found if n.op in ("var", "at"))


def _written(term: object, bound: tuple[str, ...] = ()) -> str:
    """Write a term down, bound names by how far out they are bound."""
    if not isinstance(term, Term):
        return repr(term)
    if term.op == "bound":
        name = str(term.args[0])
        return f"^{bound[::-1].index(name)}" if name in bound else name
    binds = term.op in ("forall", "exists", "count", "total", "greatest", "follow", "met")
    inner = (*bound, str(term.args[0])) if binds else bound
    args = [a for n, a in enumerate(term.args) if not (binds and n == 0) and not isinstance(a, tuple)]
    return f"({term.op} {' '.join(_written(a, inner) for a in args)})"


def _true(term: object) -> bool:
    return isinstance(term, Term) and term.op == "and" and not term.args


def _parts(term: Term, around: tuple[object, ...] = (), bound: tuple[str, ...] = ()) -> Iterator[_Part]:
    """Take a sentence apart: at each *and*, below each *for all* and each *if ... then*."""
    if term.op == "and":
        for arg in term.args:
            assert isinstance(arg, Term)
            yield from _parts(arg, around, bound)
    elif term.op == "forall":
        name, low, limit, body, _ = term.args
        assert isinstance(body, Term)
        yield from _parts(body, (*around, low, limit), (*bound, str(name)))
    elif term.op == "ite" and _true(term.args[2]):
        then = term.args[1]
        assert isinstance(then, Term)
        yield from _parts(then, (*around, term.args[0]), bound)
    else:
        text = " ".join(_written(t, bound) for t in (*around, term))
        yield _Part(_spoken_of(*around, term), text)


def _numbered(name: str, parts: Iterable[_Part]) -> Iterator[tuple[str, _Part]]:
    for number, part in enumerate(parts):
        yield f"{name}:{number}", part


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:20]


class Census:
    """What has to be shown of one subject, or of an edited table in its place."""

    def __init__(self, subject: Subject, hints: Mapping[str, Sequence[str]], table: Table | None = None) -> None:
        """Read the sources; `hints` say which parts of the invariant a goal is shown from."""
        self.subject, self.hints = subject, hints
        self.ring: Induction = induction_of(subject.ring)
        self.table = self.ring.with_ghosts(protocol.table(subject) if table is None else table)
        self.ring = self.ring.of(self.table)
        self.steps = self.table.recorded()
        self.entries_are = subject.choice("region-size")
        self.parts: dict[str, tuple[str, _Part]] = {}
        for sentence in self.ring.invariant(self.table):
            said = record_term(self.table.vars, sentence.holds)
            for name, part in _numbered(sentence.name, _parts(said)):
                self.parts[name] = (sentence.group, part)

    @cached_property
    def entries(self) -> dict[Place, Entry]:
        """Give every goal that must exist, by its place."""
        everywhere = (*self._initial(), *self._any_state(), *self._at_rest(), *self._lemmas())
        found = [*everywhere, *(e for step in self.steps for e in self._at(step))]
        by_place = {entry.place: entry for entry in found}
        assert len(by_place) == len(found), "two goals in one place"
        return by_place

    def _entry(self, work: str, kind: str, name: str, group: str, *content: str) -> Entry:
        hinted = self.hints.get(f"{work} | {name}")
        used = [self.parts[n][1].text if n in self.parts else n for n in (self.parts if hinted is None else hinted)]
        known = used if kind != "initial" else []
        where = (self.subject.ring, self.entries_are, work, kind, name)
        return Entry((work, kind, name), group, _digest(*where, *content, *known))

    def _say(self, guard: Guard, *args: Term) -> Term:
        return record_term(self.table.vars, guard, *args)

    # Everywhere.

    def _initial(self) -> Iterator[Entry]:
        start = " ".join(f"{v.name} {_written(v.start(Term('bound', ('i',))))}" for v in self.table.vars.values())
        for name, (group, part) in self.parts.items():
            yield self._entry("initial", "initial", name, group, part.text, start)

    def _any_state(self) -> Iterator[Entry]:
        for name, index in self.ring.indexes.items():
            yield self._entry("any state", "index", f"{name} is a position", "base", _written(self._say(index)))

    def _at_rest(self) -> Iterator[Entry]:
        owed = " ".join(_written(r.guard) for r in self.steps if r.step.id not in UNFAIR)
        translator = Translator(self.table, self.entries_are)
        before: list[str] = []
        for name, holds in self.ring.stuck(self.table):
            for lemma, _, _ in self.ring.stuck_lemmas(name, translator, translator.world("")):
                yield self._entry("drains", "stuck", f"{name}: {lemma}", "drains", owed)
            before.append(_written(self._say(holds)))
            yield self._entry("drains", "stuck", name, "drains", owed, *before)

    def _lemmas(self) -> Iterator[Entry]:
        for name in self.ring.lemmas:
            yield self._entry("lemmas", "lemma", name, "base")

    # At a step.

    def _at(self, step: Recorded) -> Iterator[Entry]:
        content = self._content(step)
        for kind in (
            self._rewritten, self._in_cases, self._sums, self._walks, self._kept, self._stored, self._judged,
            self._restarted, self._ranked,
        ):  # fmt: skip
            for kind_name, name, group, *more in kind(step):
                yield self._entry(step.step.id, kind_name, name, group, content, *more)

    def _content(self, step: Recorded) -> str:
        assigns = (f"{a.name} {_written(a.index)} {_written(a.value)}" for a in (*step.assigns, *step.history))
        return _digest(str(step.step.choice), _written(step.guard), *assigns)

    def _rewritten(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        for name, index in self.ring.rewrites.get(step.step.id, {}).items():
            if name not in self.table.vars:
                continue
            yield "rewrite", f"{name} is a position", "base", _written(self._say(index))

    def _in_cases(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        cases = self.ring.cases.get(step.step.id, ())
        if cases:
            yield "case", "there is no other case", "base", *(_written(self._say(case)) for case in cases)

    def _terms(self, step: Recorded) -> Iterator[tuple[str, bool, Term]]:
        """Give each term that is evaluated at a step, by whose words (the step's, a property's), before or after it."""
        for assign in (*step.assigns, *step.history):
            yield step.step.id, True, assign.value
        yield from self._predicates(step)

    def _predicates(self, step: Recorded) -> Iterator[tuple[str, bool, Term]]:
        for judgement in protocol.judgements(self.subject.ring):
            if judgement.tag in step.step.tags:
                chosen = (Term("choice"),) if judgement.before and step.step.choice is not None else ()
                yield judgement.property, judgement.before, self._say(judgement.predicate, *chosen)

    def _sums(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        seen: dict[str, list[str]] = {}
        for where, before, term in self._terms(step):
            for node in _below(term):
                if node.op in ("count", "total"):
                    for what in ("counts from 0", "counts on", "has an end"):
                        name = f"{self.ring.counts[where]} {what}"
                        group = "base" if where == step.step.id else where
                        yield from _another(seen, "sum", name, f"{before} {_written(node)}", group)

    def _walks(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        seen: dict[str, list[str]] = {}
        for where, before, term in self._terms(step):
            for node in _below(term):
                if node.op in ("follow", "met"):
                    told = next(n for n, walk in enumerate(self.ring.walks.values()) if walk is self.ring.walks[where])
                    for name, about in self._of_a_walk(node, where):
                        text = " ".join(_written(a, (str(node.args[0]),)) for a in about)
                        yield from _another(seen, "walk", name, f"{before} {told} {text}")

    def _of_a_walk(self, node: Term, where: str) -> Iterator[tuple[str, tuple[object, ...]]]:
        """Give what has to be shown of a walk, and which of its operands each is about."""
        told = self.ring.walks[where]
        _, start, limit, go, following, *test = node.args
        meets: list[tuple[str, tuple[object, ...]]] = []
        if node.op == "met" and _names_one(node):
            said = ("what is met is named", "what is named is met", "what is named is met there")
            met = test[0].args[:1] if isinstance(test[0], Term) else ()
            meets = [(name, () if name == "what is named is met" else met) for name in said]
        on: list[tuple[str, tuple[object, ...]]] = [
            ("the walk starts", (start,)), ("the walk goes on", (go,)), ("the walk comes to the next", (following,)),
            ("the walk stops", (go,)), ("the walk is not cut", (limit,)), *meets,
        ]  # fmt: skip
        if isinstance(told.cases, Along):
            yield from on
            return
        on += [("the walk ends where it starts", (start,)), ("the walk comes to the last", (following,))]
        yield "there is no other case", ()
        for number in range(1, len(told.cases) + 1):
            yield from ((f"case {number}, {name}", about) for name, about in on)

    def _kept(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        writes = {a.name for a in (*step.assigns, *step.history)}
        for name, (group, part) in self.parts.items():
            if not writes.isdisjoint(part.reads):
                yield "kept", name, group, part.text

    def _stored(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        for assign in step.assigns:
            var = self.table.vars[assign.name]
            if var.kind in SHARED:
                if var.width and assign.name not in self.ring.no_wrap:
                    yield "fits", f"{assign.name} fits", "base", str(var.width)
                if isinstance(assign.index, Term):
                    yield "fits", f"{assign.name} has the element", "base", str(var.limit)

    def _judged(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        seen: dict[str, list[str]] = {}
        for prop, before, said in self._predicates(step):
            for name, part in _numbered(prop, _parts(said)):
                yield from _another(seen, "judged", name, f"{before} {part.text}", prop)

    def _ranked(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        if step.step.id not in UNFAIR:
            yield "rank", "the rank falls", "drains", *self._rank

    # What is said of every step is said once.

    @cached_property
    def _rank(self) -> tuple[str, ...]:
        return tuple(_written(self._say(r)) for r in self.ring.rank(self.table))

    @cached_property
    def _left(self) -> dict[str, Term]:
        leaves, bound = self.ring.leaves(self.table), (Term("bound", ("x",)), Term("bound", ("i",)))
        return {name: self._say(leaves[name], *bound) for name in left(self.subject.ring, self.table.vars)}

    @cached_property
    def _key(self) -> Term:
        return self._say(self.ring.key(self.table), Term("bound", ("i",)))

    @cached_property
    def _while_idle(self) -> frozenset[str]:
        return frozenset(self.ring.while_idle(self.table))

    def _restarted(self, step: Recorded) -> Iterator[tuple[str, ...]]:
        recovers, ends = step.step.procedure == "recover", step.step.id in ("crash", "stop.answer")
        writes = {a.name for a in (*step.assigns, *step.history)}
        key = self._key
        for name, term in self._left.items():
            if (recovers or ends) and not writes.isdisjoint(_spoken_of(term)):
                yield "restart", f"{name} stays", "restartable", _written(term)
            if "recovered" in step.step.tags:
                idle = ("idle",) if name in self._while_idle else ()
                yield "restart", f"{name} is left", "restartable", _written(term), *idle
                yield "restart", f"{name} is one", "restartable", _written(term)
        if (recovers or ends) and not writes.isdisjoint(_spoken_of(key)):
            yield "restart", "the key stays", "restartable", _written(key)
        if "resubmit" in step.step.tags:
            yield "restart", "the keys rise", "restartable", _written(key)


def _another(
    seen: dict[str, list[str]], kind: str, name: str, text: str, group: str = "base"
) -> Iterator[tuple[str, ...]]:
    """Give a goal that may come several times under one name: once for each thing that it says."""
    said = seen.setdefault(name, [])
    if text not in said:
        said.append(text)
        yield kind, name if len(said) == 1 else f"{name} ({len(said)})", group, text


def _names_one(node: Term) -> bool:
    """Whether a walk is asked for what is *something of the place == x*, where x does not speak of the place."""
    test = node.args[5]
    assert isinstance(test, Term)
    asked = test.args[1] if test.op == "==" else None
    return isinstance(asked, Term) and all(n.op != "bound" or n.args[0] != node.args[0] for n in _below(asked))
