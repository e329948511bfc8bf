"""A subject (ring, revision, choices) as something to prove: its table, its invariant, its rank, as terms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from model import protocol
from model.properties import Judgement
from model.record import record_term
from model.steps import Table
from model.terms import ModelError, show
from proofs.induction.atoms import Atom, atoms
from proofs.induction.kits import Induction, induction_of
from proofs.induction.solver import Translator
from proofs.search.runs import left

__all__ = ["Proof"]


class Proof:
    """A subject's table, with the proof's ghost state, and its invariant, as terms."""

    def __init__(
        self,
        subject: protocol.Subject,
        table: Table | None = None,
        *,
        ring: Induction | None = None,
        judgements: Sequence[Judgement] | None = None,
    ) -> None:
        """Record them; with another `table` (a mutant), `ring` (a kit) or `judgements`, prove what is proved of those.

        Raise `NoProofError` if the ring has no invariant, ValueError if the subject is out of scope.
        """
        self.ring = induction_of(subject.ring) if ring is None else ring
        self.judgements = protocol.judgements(subject.ring) if judgements is None else judgements
        if (why := self.ring.out_of_scope(subject.base, subject.chosen)) is not None:
            raise ValueError(why)
        self.subject = subject
        self.table = self.ring.with_ghosts(protocol.table(subject) if table is None else table)
        self.ring = self.ring.of(self.table)
        self.steps = self.table.recorded()
        self.entries = subject.choice("region-size")
        self.atoms: dict[str, Atom] = {}
        for sentence in self.ring.invariant(self.table):
            term = record_term(self.table.vars, sentence.holds)
            for number, part in enumerate(atoms(term)):
                name = f"{sentence.name}:{number}"
                self.atoms[name] = Atom(name, sentence.group, part)
        self.texts = {name: hashlib.sha256(show(a.term).encode()).hexdigest()[:16] for name, a in self.atoms.items()}
        self.ranks = [record_term(self.table.vars, part) for part in self.ring.rank(self.table)]
        self.rank_text = " ".join(show(part) for part in self.ranks)
        names = {label for r in self.steps for label in (*r.step.at, r.step.to) if label}
        self.labels = {name: number for number, name in enumerate(sorted(names))}
        self._hypotheses = self.translator()
        self._state = self.before(self._hypotheses)
        self._translated: dict[str, Any] = {}
        self.leaves = self.ring.leaves(self.table)
        if (wanted := set(left(subject.ring, self.table.vars))) != set(self.leaves):
            other = ", ".join(sorted(wanted ^ set(self.leaves)))
            raise ModelError(f"search and proof do not compare the same of what recovery leaves: {other}")

    def translator(self) -> Translator:
        """Make a translator of the subject's terms."""
        return Translator(self.table, self.entries, self.labels)

    def axioms(self, translator: Translator) -> list[Any]:
        """Give what is assumed of the sizes, and of the ring's functions of positions."""
        return [*translator.sizes(), *self.ring.axioms(translator)]

    def before(self, translator: Translator) -> dict[str, Any]:
        """Make a state of the invariant: ring indexes are written as the functions of positions that they are."""
        return translator.with_indexes(translator.world(""), self.ring.indexes)

    def hypothesis(self, atom: Atom) -> Any:
        """Translate an atom in that state, once: it has no constants but those of the state."""
        if atom.name not in self._translated:
            self._translated[atom.name] = self._hypotheses.expr(atom.term, self._state)
        return self._translated[atom.name]
