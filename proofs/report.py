"""What `verify` prints: tables on a terminal; elsewhere a line for each verdict, so that a line can be searched for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from model import protocol
from model.properties import ALL
from proofs import assumptions, queues
from proofs.challenges import selfcheck
from proofs.challenges.conjuncts import Checked as ConjunctsChecked
from proofs.challenges.hypotheses import Believed
from proofs.challenges.mutants import Checked
from proofs.challenges.witnesses import Witnessed
from proofs.induction.kits import kit
from proofs.verdicts import Judged, Verdict, load_schedule, recorded_folder

__all__ = ["known", "line", "progress", "show", "show_files"]

COLOURS = {"proved": "green", "violated": "red", "bounded": "yellow", "unknown": "magenta"}


def show(console: Console, judged: Sequence[Judged], notes: Iterable[str], seconds: float) -> None:
    """Print the verdicts and what they rest on.

    On a terminal, the defaults property by property, and the deviations where they differ from them.
    """
    if console.is_terminal:
        for table in _tables(judged):
            console.print(table)
    else:
        for one in judged:
            console.print(line(one.now), highlight=False, markup=False)
    console.print(_scope(judged))
    for note in notes:
        console.print(f"  {note}", highlight=False)
    console.print()
    differing = [j for j in judged if j.differs]
    for one in differing:
        now, was = one.now, one.was
        console.print(f"DIFFERS from the record: {line(now)}, was {was.verdict if was else '-'}",
                      style="bold red", markup=False)  # fmt: skip
    recorded = sum(j.was is not None for j in judged)
    verdicts = f"{len(judged)} verdict{'s' * (len(judged) != 1)}"
    console.print(f"{verdicts} in {seconds:.0f} s; {recorded - len(differing)} of {recorded} as recorded",
                  style="bold", highlight=False)  # fmt: skip


def show_files(console: Console, files: Sequence[Path | None], folder: Path) -> None:
    """Say how many counterexamples were written, and how to see one."""
    there = [path for path in files if path]
    if not there:
        return
    written = sum(path.parent == folder for path in there)
    told = (
        f"{written} counterexample{'s' * (written != 1)} written to {folder}; see one with: "
        if written
        else "see a run with: "
    )
    console.print(f"  {told}vhost-inflight replay {there[0]}", highlight=False, markup=False)


def line(verdict: Verdict) -> str:
    """Give a verdict as a line: ring, revision, choices, property, and after a colon what is known."""
    gaps = [f"{gap}={choice}" for gap, choice in verdict.gaps.items()]
    return f"{' '.join([verdict.ring, verdict.revision, *gaps, verdict.property])}: {known(verdict)}"


def known(verdict: Verdict) -> str:
    """Give what is known: the verdict, and how long its run is, if it has one."""
    if not verdict.counterexample:
        return verdict.verdict
    schedule = load_schedule(recorded_folder(verdict.ring) / verdict.counterexample)
    crashes = sum(e[0] == "crash" for e in schedule.events)
    size = f"{len(schedule.events)} steps, {schedule.stores()} stores, {crashes} crash{'es' * (crashes != 1)}"
    return f"{verdict.verdict} ({size})"


def _tables(judged: Sequence[Judged]) -> Iterator[Table]:
    for ring in dict.fromkeys(j.now.ring for j in judged):
        mine = [j for j in judged if j.now.ring == ring]
        theirs = [j for j in mine if j.now.revision in protocol.profiles(ring)]
        mine = [j for j in mine if j.now.revision not in protocol.profiles(ring)]
        stopped = [j for j in mine if set(j.now.gaps) & set(protocol.later(ring))]
        defaults = [j for j in mine if not j.now.gaps]
        others = [j for j in mine if j.now.gaps and j not in stopped]
        if defaults:
            yield _defaults(ring, defaults)
        if others:
            yield _deviations(ring, others, defaults)
        if stopped:
            yield _later(ring, stopped)
        if theirs:
            yield _profiles(ring, theirs)


def _cell(verdict: Verdict) -> str:
    return f"[{COLOURS[verdict.verdict]}]{known(verdict)}[/]"


def _each(title: str, column: str, named: Iterable[tuple[str, Verdict]], said: Callable[[list[Verdict]], str]) -> Table:
    """Give a row for each name: what is said of its verdicts."""
    table = Table(title=title, title_justify="left")
    table.add_column(column)
    table.add_column("verdicts", overflow="fold")
    grouped: dict[str, list[Verdict]] = {}
    for name, verdict in named:
        grouped.setdefault(name, []).append(verdict)
    for name, verdicts in grouped.items():
        table.add_row(name, said(verdicts))
    return table


def _later(ring: str, judged: Sequence[Judged]) -> Table:
    def name(verdict: Verdict) -> str:
        along = {g for gap in protocol.later(ring).values() if gap.name in verdict.gaps for g, _ in gap.along}
        return ", ".join(f"{g}={c}" for g, c in verdict.gaps.items() if g not in along)

    def said(verdicts: list[Verdict]) -> str:
        every = {v.verdict for v in verdicts} == {"proved"}
        return "[green]proved[/]" if every else _difference(verdicts, {})

    title = f"{ring} ring, stopped, reset or used in order (docs/stopping.md)"
    return _each(title, "choice", ((name(j.now), j.now) for j in judged), said)


def _profiles(ring: str, judged: Sequence[Judged]) -> Table:
    def said(verdicts: list[Verdict]) -> str:
        kinds = {kind: [v.property for v in verdicts if v.verdict == kind] for kind in COLOURS}
        return "; ".join(f"[{COLOURS[kind]}]{kind}[/]: {', '.join(names)}" for kind, names in kinds.items() if names)

    title = f"{ring} ring, what back-ends of others do"
    return _each(title, "profile", ((j.now.revision, j.now) for j in judged), said)


def _defaults(ring: str, judged: Sequence[Judged]) -> Table:
    revisions = list(dict.fromkeys(j.now.revision for j in judged))
    table = Table(title=f"{ring} ring, every gap at its default", title_justify="left")
    table.add_column("property")
    for revision in revisions:
        table.add_column(revision)
    cells = {(j.now.property, j.now.revision): _cell(j.now) for j in judged}
    for name in ALL:
        if any((name, r) in cells for r in revisions):
            table.add_row(name, *(cells.get((name, r), "") for r in revisions))
    return table


def _deviations(ring: str, judged: Sequence[Judged], defaults: Sequence[Judged]) -> Table:
    revisions = list(dict.fromkeys(j.now.revision for j in judged))
    table = Table(title=f"{ring} ring, one gap at another choice: what differs", title_justify="left", show_lines=False)
    table.add_column("choice", overflow="fold")
    for revision in revisions:
        table.add_column(revision, overflow="fold")
    usual = {(j.now.revision, j.now.property): j.now.verdict for j in defaults}
    rows: dict[str, dict[str, list[Verdict]]] = {}
    for j in judged:
        label = ", ".join(f"{g}={c}" for g, c in j.now.gaps.items())
        rows.setdefault(label, {}).setdefault(j.now.revision, []).append(j.now)
    for label, by_revision in rows.items():
        table.add_row(label, *(_difference(by_revision.get(r), usual) for r in revisions))
    return table


def _difference(verdicts: Sequence[Verdict] | None, usual: dict[tuple[str, str], str]) -> str:
    if verdicts is None:
        return "[dim]not open[/]"
    other = [v for v in verdicts if usual.get((v.revision, v.property), "proved") != v.verdict]
    if not other:
        return "[green]the same[/]"
    parts = []
    for kind in ("violated", "bounded", "unknown", "proved"):
        names = [v.property for v in other if v.verdict == kind]
        if names:
            parts.append(f"[{COLOURS[kind]}]{kind}[/]: {', '.join(names)}")
    return "; ".join(parts)


KINDS: Mapping[str, str] = {
    "initial": "of the initial state", "kept": "that a step keeps a sentence", "judged": "of properties",
    "fits": "that a value fits its bits", "index": "of indexes", "rewrite": "that two terms are equal",
    "sum": "of sums", "walk": "of walks along a list", "case": "that cases are all", "lemma": "lemmas",
    "restart": "that a recovery may begin again", "rank": "that a rank falls", "stuck": "that nothing is stuck",
}  # fmt: skip
"""What goals of each kind say."""


def prover(checked: selfcheck.Checked, lies: selfcheck.Checked, failed: int, by: str = "Z3") -> Iterator[str]:
    """Say how many goals there were, of which kinds, and what the prover said to what is false."""
    shown = f"{failed} of these not proved" if failed else f"each proved by {by} now, none taken from a file"
    yield f"{checked.goals.total()} goals, {checked.different} of them different; {shown}"
    kinds = ", ".join(f"{checked.goals[kind]} {text}" for kind, text in KINDS.items() if checked.goals[kind])
    yield f"they are those of the census, which the tables alone give: {kinds}"
    yield f"{lies.lies} falsehoods, some of each kind of goal, were put to it: {len(lies.faults) or 'none'} proved"
    for fault in (*checked.faults, *lies.faults):
        yield f"  wrong: {fault}"


def mutants(checked: Checked, page: str) -> str:
    """Say what the mutants showed, and on which page it is told."""
    return (f"{checked.dead} mutants dead, each by a recorded run played again; "
            f"{len(checked.survivors)} survive, and {page} says why{_wrong(checked.faults)}")  # fmt: skip


def conjuncts(checked: ConjunctsChecked) -> str:
    """Say what was found of the properties' conjuncts."""
    return f"the properties' predicates: {checked.text()}"


def witnesses(seen: Witnessed) -> str:
    """Say what the witnesses showed."""
    told = f"the invariant holds in each of their {seen.states} states"
    return f"witnesses take every step; {told}{_wrong(seen.faults)}"


def hypotheses(told: Believed) -> str:
    """Say what states of witnesses showed of what goals are proved from."""
    sets = f"{told.sets} sets of hypotheses, of {told.goals} goals"
    return f"what goals are shown from is no contradiction: {sets}, each true of a witness's state{_wrong(told.faults)}"


def unwitnessed(number: int) -> str:
    """Say how many tables are proved of which no witness tells that."""
    tables = "one table with choices of its own" if number == 1 else f"{number} tables with choices of their own"
    return f"no witness tells that of {tables}: tests play random runs of some (tests/proofs/test_invariant.py)"


def several_queues(checked: queues.Checked) -> str:
    """Say what was shown of several queues in one region and one process."""
    if checked.faults:
        return f"several queues: not shown that one does nothing to another{_wrong(checked.faults)}"
    entries = "" if checked.all_proved else "; where nothing is proved, if the back-end checks that the entry is there"
    return (f"several queues (up to {queues.QUEUES}): proved that no step of one changes anything of another's: "
            f"{len(checked.stores)} stores, each inside its own region or ring{entries}; "
            "no variable but the counter, where a gap shares it")  # fmt: skip


def reduction(said: str, faults: Sequence[str]) -> str:
    """Say whether runs that the table does not have are as those that it has."""
    return f"not shown: {said}{_wrong(faults)}" if faults else f"proved: {said}"


def _wrong(faults: Iterable[str]) -> str:
    return "".join(f"\n    wrong: {fault}" for fault in faults)


def _scope(judged: Sequence[Judged]) -> str:
    lines = ["What the words mean:"]
    kinds = {j.now.verdict for j in judged}
    several = len({j.now.ring for j in judged}) > 1
    proved = tuple(dict.fromkeys(j.now.ring for j in judged if j.now.verdict == "proved"))
    for ring in proved:
        proof = kit(ring).induction
        lines += [f"  of the {ring} ring:"] if several else []
        lines += [f"  {line}" for line in (proof.scope if proof else ())]
    if proved:
        lines.append("  assumed (why, and what breaks otherwise: docs/trust.md):")
        lines += [f"    {line}" for line in assumptions.lines(proved)]
    if "violated" in kinds:
        lines.append("  violated: a run breaks it; no run within its bounds, where it has any, takes fewer steps")
    if any(j.found and j.found.repeats_from for j in judged):
        lines.append("    (where a run goes round for ever: no run takes fewer steps to where it begins to)")
    if "bounded" in kinds:
        bounds = sorted({b.text() for j in judged for b in j.now.bounds if j.now.verdict == "bounded"})
        lines += [
            "  bounded: not proved; no run breaks it within: " + "; or\n    ".join(bounds),
            "    (a run is followed no further where the back-end would fetch more than the ring holds, or walk the",
            "    list for more than twice its entries)",
        ]
    return "\n".join(lines)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal's standard error; gives a function to say how many of how many are done."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
