"""Checks a certificate: that a proof in the format Alethe shows that the sentences of a problem cannot all be true."""

from __future__ import annotations

from collections.abc import Sequence

from proofs.certificates.besides import is_true_anyway
from proofs.certificates.propositional import Clause
from proofs.certificates.rules import RULES
from proofs.certificates.steps import Scope, Step
from proofs.certificates.syntax import Problem, Reader, Sexp, name, pairs, parse, problem
from proofs.certificates.terms import BOOL, Refused, Term

__all__ = ["check"]


def check(asked: str, proof: str) -> int:
    """Check that a proof (Alethe) shows that a problem (SMT-LIB) has no solution; give the number of its steps.

    Raise `Refused`, with what is wrong, unless each step follows and the last is the empty clause.
    """
    try:
        commands = parse(proof)
        if len(commands) != 1:
            raise Refused("a proof is one list of steps")
        return _Proof(problem(asked)).check(pairs(commands[0]))
    except RecursionError as error:
        raise Refused("terms are nested too deeply") from error


class _Proof:
    def __init__(self, asked: Problem) -> None:
        self.reader, self.asked = Reader(asked.terms), set(asked.sentences)
        self.scopes = [Scope("")]
        self.names: set[str] = set()

    def check(self, commands: Sequence[list[Sexp]]) -> int:
        """Check the commands one after the other."""
        for command in commands:
            head, step = command[0], name(command[1]) if len(command) > 1 else ""
            try:
                if head == "assume" and len(command) == 3:
                    self._assume(step, self._formula(command[2]))
                elif head == "anchor":
                    self._anchor(command)
                elif head == "step":
                    self._step(command)
                else:
                    raise Refused(f"unknown command {head}")  # noqa: TRY301 - the step is named below
            except Refused as why:
                raise Refused(f"{step}: {why}") from why
        (whole,) = self.scopes if len(self.scopes) == 1 else (None,)
        if whole is None or whole.last != ():
            raise Refused("the proof does not end with the empty clause")
        return len(commands)

    def _assume(self, step: str, term: Term) -> None:
        """Take what the problem says, or what is true whatever the problem says (`proofs.certificates.besides`).

        Within a part of the proof, take anything: the end of the part discharges it.
        """
        if len(self.scopes) == 1 and term not in self.asked and not is_true_anyway(term):
            raise Refused("what is assumed is not in the problem")
        self._name(step)
        if len(self.scopes) > 1:
            self.scopes[-1].assumed[step] = term
        self._keep(step, (term,))

    def _anchor(self, command: list[Sexp]) -> None:
        """Begin a part of the proof: ``(anchor :step NAME :args ((x Int) (:= (y Int) t)))``."""
        told = _options(command[1:])
        values: dict[Term, Term] = {}
        for each in pairs(told.get(":args", [])):
            if each[0] == ":=" and len(each) == 3:
                variable = self.reader.variable(pairs([each[1]])[0])
                value = self.reader.term(each[2])
                if value.sort != variable.sort or variable in values:
                    raise Refused(f"{variable} cannot be written as {value}")
                if value is not variable:
                    values[variable] = value
            else:
                self.reader.variable(each)
        self.scopes.append(Scope(name(told.get(":step", [])), values))

    def _step(self, command: list[Sexp]) -> None:
        if len(command) < 5 or not isinstance(command[2], list) or command[2][:1] != ["cl"]:
            raise Refused("no step")
        step, told = name(command[1]), _options(command[3:])
        clause = tuple(self._formula(literal) for literal in command[2][1:])
        args = told.get(":args", [])
        self.reader.note(args)
        inner = self.scopes.pop() if len(self.scopes) > 1 and step == self.scopes[-1].ends else None
        premises = [self._clause(name(each)) for each in told.get(":premises", [])]
        rule = name(told.get(":rule", []))
        if rule not in RULES:
            raise Refused(f"unknown rule {rule}")
        if not RULES[rule](Step(clause, premises, list(args), self.reader, self.scopes, inner)):
            raise Refused(f"does not follow by {rule}: {' '.join(map(str, clause))}")
        self._name(step)
        self._keep(step, clause)

    def _formula(self, sexp: Sexp) -> Term:
        term = self.reader.term(sexp)
        if term.sort != BOOL:
            raise Refused(f"no formula: {term}")
        return term

    def _name(self, step: str) -> None:
        if step in self.names:
            raise Refused("a name that another step has")
        self.names.add(step)

    def _keep(self, step: str, clause: Clause) -> None:
        self.scopes[-1].clauses[step] = self.scopes[-1].last = clause

    def _clause(self, step: str) -> Clause:
        """Give what an earlier step says that can be seen from here."""
        for scope in reversed(self.scopes):
            if step in scope.clauses:
                return scope.clauses[step]
        raise Refused(f"no step {step} before this one")


def _options(sexps: Sequence[Sexp]) -> dict[str, Sexp]:
    """Read ``:keyword value`` pairs."""
    if len(sexps) % 2:
        raise Refused("a keyword without a value")
    return {name(keyword): value for keyword, value in zip(sexps[::2], sexps[1::2], strict=True)}
