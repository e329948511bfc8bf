"""What has to be believed, with its lines of code counted, and what is assumed: parts of docs/trust.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from model import protocol
from proofs import assumptions
from proofs.challenges.sabotages import SABOTAGES, recorded

__all__ = ["part"]

ROOT = Path(__file__).parents[1]

BELIEVED: Sequence[tuple[str, Sequence[str], str, str]] = (
    ("what a table means", ("model/terms.py", "model/record.py", "model/steps.py"),
     "a term, a step, a table of steps are what their docstrings say",
     "the interpreter and the translation to a solver are two writings of it, held against each other on runs"),
    ("the tables", ("model/both/*.py", "model/split/*.py", "model/packed/*.py"),
     "each step does what the sentence of the text says",
     "the reference, a writing of its own, takes the same steps in the same order on real memory (tests/meet)"),
    ("the properties' predicates", ("model/properties.py", "model/split/properties.py", "model/packed/properties.py"),
     "they say what the property's sentence says (counted among the tables, too)",
     "recorded runs break each conjunct alone (properties.md); judges that share no code with it judge real memory"),
    ("the census", ("proofs/challenges/census.py",),
     "these goals are all that induction needs",
     "goals left out, emptied and shared wrongly (the sabotages `left out`, `empty`, `shared`)"),
    ("what a goal says", ("proofs/induction/solver.py", "proofs/induction/work.py", "proofs/induction/goals.py",
                          "proofs/induction/walks.py", "proofs/induction/restart.py", "proofs/induction/proof.py",
                          "proofs/induction/atoms.py", "proofs/{split,packed}/{slots,stuck}.py"),
     "a goal as a formula says what its name says; what is assumed of sizes and positions is true",
     ("canaries and falsehoods, asked in each run; assumptions worked out for small numbers, hypotheses on states of "
      "runs (`selfcheck hypotheses`); `believed`")),
    ("the question as a text", ("proofs/induction/smtlib.py", "proofs/second/questions.py"),
     "the text that is asked and certified is that formula",
     "Z3 reads the texts, and finds the sentences that were written"),
    ("the checker", ("proofs/certificates/*.py",),
     "what it accepts follows from the question's sentences, and they cannot all be true",
     "each rule's steps broken in each way; `checker`"),
    ("several queues, several requests", ("proofs/queues.py", "proofs/split/at_once.py"),
     "what they ask is what [is said of several](architecture.md#several-queues)",
     "changed layouts, steps and variables, each refused (tests/proofs/test_queues.py, test_at_once.py)"),
)  # fmt: skip


def part(name: str) -> tuple[Sequence[str], list[Sequence[str]]] | None:
    """Give the table called ``believed``, ``assumed`` or ``sabotages``; None if it is no part of this page."""
    if name == "assumed":
        told = zip(assumptions.lines(protocol.RINGS), assumptions.of(protocol.RINGS), strict=True)
        return ("assumed", "why that is reasonable", "otherwise"), [(f"{s}", a.why, a.otherwise) for s, (_, a) in told]
    if name == "believed":
        return ("what", "where", "lines, blank ones not counted", "what is believed of it", "attacked by"), list(
            _believed()
        )
    if name == "sabotages":
        kinds, known = Counter(s.kind for s in SABOTAGES), recorded()
        noticed = {k: Counter(known[s.name] for s in SABOTAGES if s.kind == k and s.name in known) for k in kinds}
        said = {k: ", ".join(f"{check} {times}" for check, times in noticed[k].items()) for k in kinds}
        return ("kind", "sabotages", "noticed by"), [(k, str(number), said[k]) for k, number in kinds.items()]
    return None


def _believed() -> Iterator[Sequence[str]]:
    for number, (what, where, meaning, attack) in enumerate(BELIEVED, start=1):
        lines = sum(
            sum(bool(line.strip()) for line in p.read_text(encoding="utf-8").splitlines()) for p in _files(where)
        )
        yield (f"{number}. {what}", ", ".join(f"`{w}`" for w in where), str(lines), meaning, attack)


def _files(patterns: Sequence[str]) -> list[Path]:
    found: dict[Path, None] = {}
    for pattern in patterns:
        for plain in _alternatives(pattern):
            matched = sorted(ROOT.glob(plain))
            if not matched:
                raise LookupError(f"docs/trust.md counts {plain}, and there is no such file")
            found |= dict.fromkeys(matched)
    return list(found)


def _alternatives(pattern: str) -> Iterator[str]:
    """Write ``a{b,c}`` as ``ab`` and ``ac``."""
    before, brace, rest = pattern.partition("{")
    if not brace:
        yield pattern
        return
    inside, _, after = rest.partition("}")
    for each in inside.split(","):
        yield from _alternatives(f"{before}{each}{after}")
