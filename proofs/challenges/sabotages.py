"""Mutants of the prover: one-line sabotages of what makes, shows or counts goals, and which check notices each.

    python -m proofs.challenges.sabotages [NAME ...] [--new] [--record]

Each is put into a copy of the packages; then the checks are run there, the cheap ones first, until one fails: ``goals``
(the census, shared results and assumptions: no solver), ``hypotheses`` (whether what goals are proved from is true of
something), ``lies`` (false goals that the prover is asked), ``tests`` (those of the prover); of the checker of
certificates, its own tests. Exit 1 if one goes unnoticed. ``--record`` writes down which check noticed each, as soon as
it is known; ``--new`` tries those that have no such entry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from proofs.challenges.checker_sabotages import ASKED, CHECKER

__all__ = ["SABOTAGES", "Sabotage", "main", "noticed_by", "one_of_each_kind", "recorded"]

GOALS, KITS = "proofs/induction/goals.py", "proofs/induction"


@dataclass(frozen=True)
class Sabotage:
    """A line that is changed: its name, what kind of lie it is, the file, the line, what stands there instead."""

    name: str
    kind: str
    file: str
    old: str
    new: str


def _s(kind: str, name: str, file: str, old: str, new: str) -> Sabotage:
    return Sabotage(name, kind, f"{KITS}/{file}" if "/" not in file else f"proofs/{file}", old, new)


SABOTAGES: tuple[Sabotage, ...] = (
    # goals that are not made
    _s("left out", "no goals for the initial state", "goals.py",
       '    for atom in work.proof.atoms.values():\n        yield Goal(atom.group, "initial"',
       '    for atom in ():\n        yield Goal(atom.group, "initial"'),
    _s("left out", "none for the crash", "goals.py", "*(StepWork(proof, r) for r in proof.steps)]",
       '*(StepWork(proof, r) for r in proof.steps if r.step.id != "crash")]'),
    _s("left out", "none for the driver's steps", "goals.py", "*(StepWork(proof, r) for r in proof.steps)]",
       '*(StepWork(proof, r) for r in proof.steps if not r.step.id.startswith("driver."))]'),
    _s("left out", "none for the reset", "goals.py", "*(StepWork(proof, r) for r in proof.steps)]",
       '*(StepWork(proof, r) for r in proof.steps if r.step.id != "driver.reset")]'),
    _s("left out", "only the first atom of each judgement", "goals.py",
       "for number, said in enumerate(atoms(term)):", "for number, said in enumerate(list(atoms(term))[:1]):"),
    _s("left out", "only the first atom of each sentence", "proof.py",
       "for number, part in enumerate(atoms(term)):", "for number, part in enumerate(list(atoms(term))[:1]):"),
    _s("left out", "no rank goals", "goals.py", "    if work.id not in UNFAIR:\n        yield",
       "    if False:\n        yield"),
    _s("left out", "the chain to drains taken as shown", "goals.py",
       "goals = list(_stuck(work)) if isinstance(work, Rest)", "goals = [] if isinstance(work, Rest)"),
    _s("left out", "the last link alone", "goals.py",
       "    for name, holds in work.ring.stuck(work.table):",
       "    for name, holds in work.ring.stuck(work.table)[-1:]:"),
    _s("left out", "nothing of what recovery leaves", "restart.py",
       '    if "recovered" in work.step.tags:', "    if False:"),
    _s("left out", "keys need not rise", "restart.py", '    if "resubmit" in work.step.tags:', "    if False:"),
    _s("left out", "recovery may change what it leaves", "restart.py", "        if reads(said) & writes:",
       "        if False:"),
    _s("left out", "the crash may change what recovery leaves", "restart.py",
       '    if work.step.procedure != "recover" and work.id != "crash":', '    if work.step.procedure != "recover":'),
    _s("left out", "no widths", "goals.py",
       "        if var.width and var.name not in work.ring.no_wrap:", "        if False:"),
    _s("left out", "no elements", "goals.py", '        if isinstance(assign.index, Term):\n            text = f"index',
       '        if False:\n            text = f"index'),
    _s("left out", "no rewrites", "goals.py", "    for name, index in work.positions.items():",
       "    for name, index in {}.items():"),
    _s("left out", "no indexes", "goals.py", "    for name, index in work.ring.indexes.items():",
       "    for name, index in {}.items():"),
    _s("left out", "cases not shown to be complete", "goals.py", "    if told:\n", "    if False:\n"),
    _s("left out", "no sums", "goals.py", '            if node.op in ("count", "total"):\n                array',
       "            if False:\n                array"),
    _s("left out", "sums without a beginning", "goals.py",
       'enumerate(("counts from 0", "counts on", "has an end")):', 'enumerate(("counts on", "has an end"), 1):'),
    _s("left out", "no walks", "goals.py",
       "        for name, said in walk_goals(term, told, work.table.vars) if told else ():",
       "        for name, said in ():"),
    _s("left out", "walks that do not stop", "walks.py",
       '    yield "the walk stops", _if(at(place, count), all_of(negate(_put(go, name, place)), place == last))\n', ""),
    _s("left out", "atoms that read what history writes", "goals.py",
       "writes = {a.name for a in (*work.recorded.assigns, *work.recorded.history)}\n    for atom",
       "writes = {a.name for a in work.recorded.assigns}\n    for atom"),
    _s("left out", "a group of goals", "engine.py", "if q.group in groups and", 'if q.group in groups - {"base"} and'),
    # goals that say nothing
    _s("empty", "an atom is itself", "goals.py", "        return translator.expr(term, work.after)\n",
       "        return translator.expr(term, work.before)\n"),
    _s("empty", "the initial state is not", "goals.py",
       "    return z3.Implies(z3.And(known), work.translator.expr(term, values))", "    return z3.BoolVal(True)"),
    _s("empty", "everything fits", "goals.py", "    return z3.And(value >= 0, value < (1 << width))",
       "    return z3.And(z3.BoolVal(True), z3.BoolVal(True))"),
    _s("empty", "every element is there", "goals.py", "    return z3.And(at >= 0, at < ends[str(limit)])",
       "    return z3.BoolVal(True)"),
    _s("empty", "every judgement is true", "goals.py",
       "    return work.translator.expr(work.resolved(said, judgement.property, world), world)",
       "    return z3.BoolVal(True)"),
    _s("empty", "every rank is lower", "goals.py", "    same, lower = z3.BoolVal(True), []",
       "    same, lower = z3.BoolVal(True), [z3.BoolVal(True)]"),
    _s("empty", "only one is left", "restart.py", "    return z3.Implies(z3.And(inside, *both), one == other)",
       "    return z3.BoolVal(True)"),
    _s("empty", "what is left is left", "restart.py",
       "    return z3.Implies(inside, _translated(work, said, index, there, before=False))",
       "    return z3.BoolVal(True)"),
    _s("empty", "every key rises", "restart.py",
       "    return z3.And(done[translator.choice] != 1, z3.Implies(inside, earlier < now))",
       "    return z3.BoolVal(True)"),
    _s("empty", "all that is left stays", "restart.py",
       "    one, other = (_translated(work, said, index, value, before=before) for before in (True, False))",
       "    one, other = (_translated(work, said, index, value, before=before) for before in (True, True))"),
    _s("empty", "an index is itself", "goals.py",
       "    return work.before[name] == work.translator.index(index, work.before)", "    return z3.BoolVal(True)"),
    _s("empty", "sums count on", "work.py",
       "array[k + 1] == array[k] + more)", "array[k + 1] == array[k + 1])"),
    _s("empty", "sums begin", "work.py", "return array[limit], array[0] == 0,",
       "return array[limit], z3.BoolVal(True),"),
    _s("empty", "sums end", "work.py", "counts_on, limit >= 0", "counts_on, z3.BoolVal(True)"),
    _s("empty", "no other case", "goals.py", "lambda: z3.Or([z3.And(c) for c in work.cases]))",
       "lambda: z3.BoolVal(True))"),
    _s("empty", "walks say nothing", "goals.py",
       "    return work.translator.expr(said, work.world(before=before), bound)", "    return z3.BoolVal(True)"),
    _s("empty", "every lemma is true", "goals.py", "partial(_itself, to_show)", "partial(_itself, z3.BoolVal(True))"),
    # what is believed
    _s("believed", "everything is proved", "show.py",
       "    return bool(solver.check() == z3.unsat)", "    return bool(solver.check() != z3.sat)"),
    _s("believed", "what is left of the goal before", "show.py", "        self._solver.pop()\n", ""),
    _s("believed", "what is left of the goal before, and nobody looks", "show.py",
       "        assert self._solver.num_scopes() == 0",
       "        self._solver.push = self._solver.pop = list\n        assert True"),
    _s("believed", "small sizes", "solver.py", "facts = [self.size >= 1,", "facts = [self.size <= 4, self.size >= 1,"),
    _s("believed", "small positions", "solver.py", "self.first < 65536]", "self.first < 65000]"),
    _s("believed", "no request past 65530", "proof.py", "        return [*translator.sizes(),",
       '        return [translator.world("")["history.avail_pos"] < 65530, *translator.sizes(),'),
    _s("believed", "a contradiction", "proof.py", "        return [*translator.sizes(),",
       "        return [translator.size < 1, *translator.sizes(),"),
    _s("believed", "a contradiction at one step", "work.py", "        return [*axioms, guard, *chosen,",
       '        return [*axioms, *([translator.size < 1] if self.id == "crash" else []), guard, *chosen,'),
    _s("believed", "small sizes at one step", "work.py", "        return [*axioms, guard, *chosen,",
       '        return [*axioms, *([translator.size <= 4] if self.id == "driver.use" else []), guard, *chosen,'),
    _s("believed", "a batch of one", "work.py", "        return [*axioms, guard, *chosen,",
       '        return [*axioms, self.before["supply.count"] <= 1, guard, *chosen,'),
    _s("believed", "no guard ever holds", "work.py", "guard = translator.expr(self.recorded.guard, self.before)",
       "guard = z3.BoolVal(False)"),
    _s("believed", "places are apart however far", "split/slots.py",
       "z3.Implies(z3.And(place(p) == place(q), p - q < size, q - p < size), p == q)",
       "z3.Implies(place(p) == place(q), p == q)"),
    _s("believed", "the slot lemma is not asked", "split/slots.py",
       "        if solver.check() != z3.unsat:\n            return False",
       "        if False:\n            return False"),
    _s("believed", "the place lemma is not asked", "packed/slots.py",
       "    return bool(solver.check() == z3.unsat)", "    return True"),
    _s("believed", "a wrong lap", "packed/slots.py",
       "z3.If(far < size + size, 1 - lap_, lap_)),\n    )", "lap_),\n    )"),
    _s("believed", "something always waits", "split/stuck.py",
       "    return [z3.Or(none, z3.And(pending(first), all_later))]", "    return [pending(first), all_later]"),
    _s("believed", "something always waits, packed", "packed/stuck.py",
       "    return [z3.Or(none, z3.And(pending(first), later))]", "    return [pending(first), later]"),
    _s("believed", "only the least can wait", "split/stuck.py",
       "    later = counters[first] <= counters[other] if counted else first <= other",
       "    later = first == other"),
    _s("believed", "goals use what is to be shown", "work.py",
       '        groups = rests_on(goal.group) if self.id != "initial" else ()',
       "        groups = rests_on(goal.group)"),
    _s("believed", "every group may be used", "work.py",
       '        groups = rests_on(goal.group) if self.id != "initial" else ()',
       '        groups = ("base", "counters", "order", "restartable", "drains") if self.id != "initial" else ()'),
    _s("believed", "a property rests on itself alone", "words.py",
       '    return RESTS_ON.get(group, tuple(dict.fromkeys(("base", group))))', "    return (group,)"),
    _s("believed", "what failed is proved", "engine.py",
       'if self.result(subject, q).status != "proved"]', 'if self.result(subject, q).status == "wrong"]'),
    _s("believed", "the greatest is anything", "work.py",
       "            z3.ForAll([q], z3.Implies(inside, bound <= value), patterns=patterns),",
       "            z3.BoolVal(False),"),
    # what is shared
    _s("shared", "a key without its step", "show.py", 'f"{ring}\\n{work.id}\\n{work.text}\\n{goal.group}',
       'f"{ring}\\n{goal.group}'),
    _s("shared", "a key without its ring and its text", "show.py", '{goal.name}\\n{goal.text}\\n{used}"',
       '{goal.name}\\n{used}"'),
    _s("shared", "a key without its hypotheses", "show.py", '\\n{goal.text}\\n{used}"', '\\n{goal.text}"'),
    _s("shared", "a result from more than the key names", "show.py", "shared=hinted is None)", "shared=True)"),
)  # fmt: skip
SABOTAGES += tuple(Sabotage(name, "checker", f"proofs/certificates/{file}", *lines) for name, file, *lines in CHECKER)
SABOTAGES += tuple(Sabotage(name, "asked", f"proofs/{file}", *lines) for name, file, *lines in ASKED)

CHECKS = ("goals", "hypotheses", "lies", "tests")
TESTS = {
    "tests": ("test_solver.py", "test_walks.py", "test_kits.py", "test_false_theorems.py"),
    "certificates": ("test_certificates.py", "test_certificate_scopes.py"),
    "second": ("test_second.py",),
}
OF_KIND = {"checker": ("certificates",), "asked": ("second",)}
"""What is run for sabotages of some kinds, in the place of `CHECKS`."""


def _copied(folder: Path) -> None:
    root = Path(str(resources.files("proofs"))).parent
    for package in ("model", "proofs", "refimpl", "vhost_inflight", "diagrams", "tests"):
        skipped = shutil.ignore_patterns("__pycache__")
        if (root / package).is_dir():
            shutil.copytree(root / package, folder / package, ignore=skipped)
    if (root / "pyproject.toml").is_file():
        shutil.copy(root / "pyproject.toml", folder)


def noticed_by(sabotage: Sabotage, checks: Sequence[str] = CHECKS) -> str | None:
    """Put a sabotage into a copy and give the first check that fails there; None: it goes unnoticed.

    Raise ValueError where the line is not in the file.
    """
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-") as name:
        folder = Path(name)
        _copied(folder)
        path = folder / sabotage.file
        text = path.read_text(encoding="utf-8")
        if text.count(sabotage.old) < 1:
            raise ValueError(f"{sabotage.name}: {sabotage.file} has no such line")
        path.write_text(text.replace(sabotage.old, sabotage.new, 1), encoding="utf-8")
        for check in checks:
            command = [sys.executable, "-m", "proofs.challenges.selfcheck", check]
            if check in TESTS:
                files = [f"tests/proofs/{test}" for test in TESTS[check]]
                command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
            apart = {**os.environ, "TMPDIR": name}  # what a check leaves goes with the copy
            ran = subprocess.run(command, cwd=folder, env=apart, check=False, capture_output=True, text=True)
            if ran.returncode:
                told = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
                return f"{check}: {told[-1] if told else ran.returncode}"
    return None


def _record() -> Path:
    return Path(str(resources.files("proofs"))) / "recorded" / "sabotages.json"


def recorded() -> dict[str, str]:
    """Give what noticed each sabotage, by name: the check, as recorded."""
    path = _record()
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def one_of_each_kind() -> Iterator[tuple[Sabotage, str]]:
    """Give a sabotage of each kind, the one that the cheapest check notices, and that check."""
    known, found = recorded(), dict[str, tuple[Sabotage, str]]()
    order = (*CHECKS, "second", "certificates")
    for sabotage in SABOTAGES:
        if (check := known.get(sabotage.name)) is None:
            continue
        before = found.setdefault(sabotage.kind, (sabotage, check))
        if order.index(check) < order.index(before[1]):
            found[sabotage.kind] = (sabotage, check)
    yield from found.values()


def main(arguments: Sequence[str]) -> int:
    """Try the sabotages named, or all; print what noticed each; return the exit code."""
    names = [a for a in arguments if not a.startswith("--")]
    chosen = [s for s in SABOTAGES if not names or s.name in names]
    if "--new" in arguments:
        chosen = [s for s in chosen if s.name not in recorded()]
    unnoticed = 0
    for sabotage in chosen:
        told = noticed_by(sabotage, OF_KIND.get(sabotage.kind, CHECKS))
        unnoticed += told is None
        print(f"{sabotage.kind}: {sabotage.name}: {told or 'UNNOTICED'}"[:200], flush=True)
        if "--record" in arguments and told is not None:
            known = {**recorded(), sabotage.name: told.partition(":")[0]}
            lines = (f" {json.dumps(s.name)}: {json.dumps(known[s.name])}" for s in SABOTAGES if s.name in known)
            _record().write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{len(chosen)} sabotages, {len(chosen) - unnoticed} noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
