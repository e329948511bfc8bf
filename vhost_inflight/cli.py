"""The command line. Exit 0: yes. Exit 1: a checked no. Exit 2: bad usage, or input that cannot be read.

Each command imports what it needs when it runs: `backend` starts without the solver and without the model.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from model.terms import ModelError
from refimpl.errors import InflightError

__all__ = ["app", "main"]

app = typer.Typer(
    name="vhost-inflight",
    help="Is vhost-user's inflight I/O tracking right? A model that is judged, and a back-end that is killed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # so that nothing but a progress bar needs rich
    pretty_exceptions_enable=False,
)

Ring = Annotated[str | None, typer.Option(help="split or packed (all rings, if left out)")]
Revision = Annotated[str | None, typer.Option(help="v6, merged or hardened (all, if left out)")]
Gaps = Annotated[list[str] | None, typer.Option("--gap", metavar="NAME=CHOICE", help="a choice other than the default")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the answer to a file as JSON")]


def _check(what: str, name: str | None, names: Iterable[str]) -> None:
    """Raise BadParameter with the nearest names if there is none such; None stands for all of them."""
    names = list(names)
    if name is None or name in names:
        return
    near = difflib.get_close_matches(name, names) or names
    raise typer.BadParameter(f"there is no {what} {name!r}; perhaps: {', '.join(near)}")


def _check_ring(ring: str | None) -> None:
    from model import protocol

    _check("ring", ring, protocol.RINGS)


def _check_revision(revision: str | None) -> None:
    from model import protocol

    _check("revision", revision, dict.fromkeys(v for r in protocol.RINGS for v in protocol.revisions(r)))


def _choices(gaps: list[str] | None) -> dict[str, str]:
    """Read ``NAME=CHOICE``; whether there is such a gap is for those to say who know it."""
    choices: dict[str, str] = {}
    for gap in gaps or ():
        name, equals, chosen = gap.partition("=")
        if not equals or not name or not chosen:
            raise typer.BadParameter(f"--gap wants NAME=CHOICE, not {gap!r}")
        if choices.setdefault(name, chosen) != chosen:
            raise typer.BadParameter(f"--gap {name} is given twice: {choices[name]} and {chosen}")
    return choices


def _exit(yes: bool) -> NoReturn:
    raise typer.Exit(0 if yes else 1)


@app.command()
def verify(
    *,
    ring: Ring = None,
    revision: Revision = None,
    property_: Annotated[str | None, typer.Option("--property", help="one property (all, if left out)")] = None,
    gap: Gaps = None,
    search: Annotated[bool, typer.Option("--search", help="find counterexamples anew; no time limit")] = False,
    json_file: JsonFile = None,
) -> None:
    """Judge the text: prove each property, or show a shortest run that breaks it. Exit 0: the verdicts recorded."""
    from model.properties import NAMES

    _check_ring(ring)
    _check_revision(revision)
    _check("property", property_, NAMES)
    gaps = _choices(gap)

    from proofs.verify import run

    _exit(run(ring=ring, revision=revision, property_name=property_, gaps=gaps, search=search, json_file=json_file))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="a counterexample or a witness: a schedule file")],
    as_json: Annotated[bool, typer.Option("--json", help="print the stores as JSON")] = False,
) -> None:
    """Play a schedule on real shared memory. Exit 0: it violates what it should."""
    from vhost_inflight.judging.play.replay import run

    _exit(run(file, as_json=as_json))


@app.command()
def explain(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="a step, property, gap or revision")] = None,
    diff: Annotated[
        tuple[str, str] | None, typer.Option(metavar="OLD NEW", help="two revisions, as a diff of steps")
    ] = None,
    ring: Annotated[str | None, typer.Option(help="split (if left out) or packed; not needed for a step's id")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Explain a step, a property, a gap or a revision, with its place in the text; without ID, list them all.

    Without --ring, --diff shows both rings.
    """
    from model import protocol
    from vhost_inflight import explain as explained
    from vhost_inflight import explain_text

    _check_ring(ring)
    if diff is not None:
        if id_ is not None:
            raise typer.BadParameter("either an ID or --diff")
        for name in diff:
            _check_revision(name)
        answers = [explained.difference(each, *diff) for each in ([ring] if ring else protocol.RINGS)]
    elif id_ is None:
        answers = [explained.index(ring or "split")]
    else:
        known = [name for each in ([ring] if ring else protocol.RINGS) for name in explained.ids(each)]
        _check("step, property, gap or revision", id_, known)
        answers = [explained.explain(ring or explained.ring_of(id_), id_)]
    if as_json:
        typer.echo(json.dumps(answers if len(answers) > 1 else answers[0], indent=2))
    else:
        typer.echo("\n".join(explain_text.text(answer) for answer in answers))


@app.command()
def backend(
    *,
    socket: Annotated[Path, typer.Option(help="the socket to listen on")],
    image: Annotated[Path, typer.Option(help="the disk's file")],
    packed: Annotated[bool, typer.Option("--packed", help="offer packed rings; the gaps are those of theirs")] = False,
    queues: Annotated[int, typer.Option(min=1, max=64)] = 1,
    revision: Annotated[str, typer.Option(help="v6, merged or hardened")] = "merged",
    gap: Gaps = None,
    schedule: Annotated[Path | None, typer.Option(help="what to hold back, and the order of completion")] = None,
    crash_at: Annotated[str | None, typer.Option(metavar="STEP[:N]", help="die right after the Nth such step")] = None,
    trace: Annotated[Path | None, typer.Option(help="append a line for each thing that really happened")] = None,
    seed: Annotated[int, typer.Option(help="of the order of completion")] = 0,
    log_level: Annotated[str, typer.Option(help="error, info (what happened) or debug (every message)")] = "info",
    dump: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="write what each ring finds there, for `recover` to read")
    ] = None,
    no_mem_slots: Annotated[
        bool, typer.Option("--no-mem-slots", help="take the guest's memory as one table, not region by region")
    ] = False,
) -> None:
    """Serve a file as a vhost-user-blk device."""
    from refimpl.backend.process import run_backend
    from refimpl.choices import Choices

    choices = Choices.from_mapping(_choices(gap), revision, "packed" if packed else "split")
    run_backend(
        socket, image, queues=queues, choices=choices, crash_at=crash_at, schedule=schedule, trace=trace, seed=seed,
        log_level=log_level, dump=dump, mem_slots=not no_mem_slots,
    )  # fmt: skip


@app.command("crash-test")
def crash_test(
    *,
    ring: Annotated[str, typer.Option(help="split or packed")] = "split",
    revision: Annotated[str, typer.Option(help="v6, merged or hardened")] = "merged",
    gap: Gaps = None,
    queue_size: Annotated[int | None, typer.Option(min=1, max=32768, help="4; of a guest 16, if left out")] = None,
    kills: Annotated[int, typer.Option(min=1)] = 100,
    seed: Annotated[int, typer.Option()] = 0,
    guest: Annotated[bool, typer.Option("--guest", help="a real driver: QEMU with a Linux guest")] = False,
    queues: Annotated[int, typer.Option(min=1, max=4, help="queues of the guest's disk")] = 1,
    at: Annotated[str | None, typer.Option(metavar="STEP[:N]", help="with --guest, always die right there")] = None,
    schedule: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="play this schedule, which says ring, revision and size"),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write what happened as a schedule, for `replay`")
    ] = None,
    free: Annotated[
        bool, typer.Option("--free", help="both processes at their own pace: the seed does not decide all")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Kill a real back-end at its stores and judge what happened. Exit 1: a property was violated.

    With --guest, what a Linux guest wrote is judged by what it reads back.
    """
    _check_ring(ring)
    _check_revision(revision)
    gaps = _choices(gap)
    if guest:
        from vhost_inflight.guest import crash

        if schedule is not None:
            raise typer.BadParameter("--schedule is for the driver that the schedule is of, not for --guest")
        if free or record is not None:
            raise typer.BadParameter("--free and --record are not for --guest, which always runs free")
        if gaps:
            raise typer.BadParameter("--gap is not for --guest, which has the defaults")
        size = 16 if queue_size is None else queue_size
        _exit(
            crash.run(
                ring=ring, revision=revision, queue_size=size, queues=queues, kills=kills, seed=seed, at=at,
                json_file=json_file,
            )
        )  # fmt: skip
    if queues != 1 or at is not None:
        raise typer.BadParameter("--queues and --at are for --guest")
    if gaps and schedule is not None:
        raise typer.BadParameter("--gap and --schedule: the schedule says what is chosen")
    if schedule is not None and record is not None:
        raise typer.BadParameter("--record writes a schedule, and --schedule has one")
    if free and (schedule is not None or record is not None):
        raise typer.BadParameter("--free leaves it to the processes what happens when: no --schedule, no --record")

    from vhost_inflight.judging.crash.command import run

    _exit(
        run(
            ring=ring,
            revision=revision,
            queue_size=4 if queue_size is None else queue_size,
            kills=kills,
            seed=seed,
            gaps=gaps,
            free=free,
            schedule=schedule,
            record=record,
            json_file=json_file,
        )
    )


@app.command("recover")
def recover_(
    *,
    revision: Annotated[str | None, typer.Option(help="v6, merged or hardened; wins over the input's")] = None,
    gap: Gaps = None,
    explain_: Annotated[bool, typer.Option("--explain", help="tell the story in words instead")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the answer to a file, - is standard output")
    ] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="input|output", help="print a JSON Schema, read nothing")
    ] = None,
) -> None:
    """Say what a back-end must make of the bytes of a region and a ring: JSON from standard input, JSON out.

    Exit 1: the bytes break a rule; whose fault it is, is said on standard error, and with --json in JSON.
    """
    gaps = _choices(gap)

    from vhost_inflight.recover import command

    if schema is not None:
        command.show_schema(schema)
        return
    _exit(command.run(revision=revision, gaps=gaps, explain=explain_, json_file=json_file))


@app.command()
def diagrams(out: Annotated[Path, typer.Option(help="the folder to write to")]) -> None:
    """Draw the procedures, the region and a counterexample, from the model's own tables."""
    from diagrams import RenderError, write

    try:
        written = write(out)
    except RenderError as error:
        _refuse(str(error))
    for path in written:
        typer.echo(path)


def main() -> NoReturn:
    """Run the command line; what a user can mend is said in one line."""
    try:
        app()
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _refuse(what)
    except (ModelError, InflightError) as error:
        _refuse(str(error))
    sys.exit(0)


def _refuse(what: str) -> NoReturn:
    print(f"vhost-inflight: {what}", file=sys.stderr)
    sys.exit(2)
