"""cvc5, asked one question at a time; on demand with its proof, in the format Alethe.

cvc5 is an extra: what needs it says so where it is missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from model.terms import ModelError

__all__ = ["TRIES", "Answer", "ask", "need"]

Options = Mapping[str, str]

TRIES: tuple[Options, ...] = ({}, {"enum-inst": "true"})
"""What is tried in turn: instances that patterns suggest; then any, the smallest first."""

EFFORT, PATIENCE = 60_000, 60_000
"""cvc5's own count of what it does, after which a try is given up; milliseconds, whatever was counted."""

PROOFS: Options = {"produce-proofs": "true", "proof-format-mode": "alethe", "proof-granularity": "dsl-rewrite"}


@dataclass(frozen=True)
class Answer:
    """What cvc5 says: ``unsat`` (so the goal is proved), ``sat`` or ``unknown``; the seconds; a proof, if asked for."""

    status: str
    seconds: float
    proof: str = ""


def need() -> None:
    """Raise `ModelError` where cvc5 is not installed."""
    if find_spec("cvc5") is None:
        raise ModelError("cvc5 is not installed: pip install 'vhost-inflight[cvc5]'")


def ask(question: str, options: Options = TRIES[0], *, proof: bool = False) -> Answer:
    """Ask a question in SMT-LIB; `proof`: with a proof, where the answer is ``unsat``."""
    started = time.monotonic()
    import cvc5  # noqa: PLC0415 - an extra

    solver = cvc5.Solver()
    limits = {"rlimit-per": str(EFFORT), "tlimit-per": str(PATIENCE)}
    for name, value in {**limits, **options, **(PROOFS if proof else {})}.items():
        solver.setOption(name, value)
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, question, "question")
    symbols, status = parser.getSymbolManager(), ""
    while not (command := parser.nextCommand()).isNull():
        status = str(command.invoke(solver, symbols)).strip() or status
    if status not in {"unsat", "sat"}:
        status = "unknown"
    shown = proof and status == "unsat"
    text = solver.proofToString(solver.getProof()[0], cvc5.ProofFormat.ALETHE).decode() if shown else ""
    return Answer(status, time.monotonic() - started, text)
