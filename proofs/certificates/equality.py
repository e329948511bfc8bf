"""Rules of equality: each thing is itself, equations turned round, chained, and put under a symbol."""

from __future__ import annotations

from proofs.certificates.rewrites import rewritten
from proofs.certificates.steps import Step, one, sides
from proofs.certificates.terms import QUANTIFIERS, Term

__all__ = ["arrays_idx", "arrays_row", "arrays_row_contra", "cong", "not_symm", "rare_rewrite", "refl", "symm", "trans"]


def refl(step: Step) -> bool:
    """`t = t`; also where variables are written as terms in `t`, as the parts around the step say."""
    left, right = step.sides
    for scope in reversed(step.around):
        if left is right:
            break
        left, right = (step.terms.substitute(side, scope.values) for side in (left, right))
    return left is right


def symm(step: Step) -> bool:
    """From `s = t`: `t = s`."""
    return sides(one(step.premise)) == step.sides[::-1]


def not_symm(step: Step) -> bool:
    """From `not s = t`: `not t = s`."""
    said, now = one(step.premise), step.only
    return said.op == now.op == "not" and sides(said.args[0]) == sides(now.args[0])[::-1]


def trans(step: Step) -> bool:
    """From `t0 = t1`, `t1 = t2`, ...: `t0 = tn`; each may be turned round."""
    here, end = step.sides
    for premise in step.premises:
        left, right = sides(one(premise))
        if here not in {left, right}:
            return False
        here = right if here is left else left
    return here is end


def cong(step: Step) -> bool:
    """From `s1 = t1`, ...: `f(s1, ...) = f(t1, ...)`, f any symbol that binds no variables; the others are the same."""
    left, right = step.sides
    known = {sides(one(premise)) for premise in step.premises}
    if left.op != right.op or len(left.args) != len(right.args) or left.op in QUANTIFIERS:
        return False
    return all(_same(s, t, known) for s, t in zip(left.args, right.args, strict=True))


def _same(one_: Term, other: Term, known: set[tuple[Term, Term]]) -> bool:
    return one_ is other or (one_, other) in known or (other, one_) in known


def arrays_idx(step: Step) -> bool:
    """`select (store a i v) i = v`."""
    return rewritten("array-read-over-write", step.only)


def arrays_row(step: Step) -> bool:
    """From `not i = j`: `select (store a i v) j = select a j`."""
    apart = one(step.premise)
    return apart.op == "not" and _reads_beside(step.only, apart.args[0])


def arrays_row_contra(step: Step) -> bool:
    """From `not select (store a i v) j = select a j`: `i = j`."""
    differ = one(step.premise)
    return differ.op == "not" and _reads_beside(differ.args[0], step.only)


def _reads_beside(same: Term, index: Term) -> bool:
    """Whether a term is `select (store a i v) j = select a j`, and another one `i = j` or `j = i`."""
    read, other = sides(same)
    if read.op != "select" or other.op != "select" or read.args[0].op != "store":
        return False
    (array, i, _), j = read.args[0].args, read.args[1]
    return other.args == (array, j) and set(sides(index)) == {i, j}


def rare_rewrite(step: Step) -> bool:
    """An instance of the rewrite that the first argument names (the other arguments say which)."""
    return rewritten(str(step.args[0]).strip('"'), step.only)
