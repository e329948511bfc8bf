"""A step of a proof as its rule sees it: the clause that it says, what it says it of, and what is open around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from proofs.certificates.propositional import Clause
from proofs.certificates.syntax import Reader, Sexp
from proofs.certificates.terms import Refused, Term, Terms

__all__ = ["Scope", "Step"]


@dataclass
class Scope:
    """A part of a proof: what was assumed in it alone, which variables are written as what, what it came to."""

    ends: str
    """The step that ends it; of the whole proof, nothing."""
    values: Mapping[Term, Term] = field(default_factory=dict)
    """In it, each of these variables is assumed to be equal to a term; one that is written as itself is not here."""
    assumed: dict[str, Term] = field(default_factory=dict)
    clauses: dict[str, Clause] = field(default_factory=dict)
    last: Clause | None = None


@dataclass
class Step:
    """A step: `inner` is the part of the proof that it ends, if it ends one; `around` is all that is open then."""

    clause: Clause
    premises: Sequence[Clause]
    args: Sequence[Sexp]
    reader: Reader
    around: Sequence[Scope]
    inner: Scope | None = None

    @property
    def terms(self) -> Terms:
        """Give what makes terms."""
        return self.reader.terms

    @property
    def only(self) -> Term:
        """Give the one literal of the clause."""
        return one(self.clause)

    @property
    def premise(self) -> Clause:
        """Give the one premise."""
        if len(self.premises) != 1:
            raise Refused("one premise is wanted")
        return self.premises[0]

    @property
    def sides(self) -> tuple[Term, Term]:
        """Give the sides of the equation that the clause is."""
        return sides(self.only)

    def generalises(self, variables: Iterable[Term]) -> bool:
        """Whether what was shown in the inner part holds of any variables: nothing around it assumes anything of them.

        What the inner part assumes itself is for its rule to judge.
        """
        assumed = [term for scope in self.around for term in scope.assumed.values()]
        assumed += [term for scope in self.around for pair in scope.values.items() for term in pair]
        return all(term.free.isdisjoint(variables) for term in assumed)


def one(clause: Clause) -> Term:
    """Give the one literal of a clause."""
    if len(clause) != 1:
        raise Refused("one literal is wanted")
    return clause[0]


def sides(term: Term) -> tuple[Term, Term]:
    """Give the sides of an equation."""
    if term.op != "=":
        raise Refused(f"no equation: {term}")
    return term.args[0], term.args[1]
