"""The command line. Exit 0: yes. Exit 1: a checked no. Exit 2: bad usage, or input that cannot be read.

Each command imports what it needs when it runs. `backend` and `recover` have doors of their own, without even this
module (`vhost_inflight.__main__`); here they are listed among the others.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from model.terms import ModelError
from refimpl.choices import parse_gaps
from refimpl.names import no_such
from vhost_inflight.conformance.commands import conformance
from vhost_inflight.crash_test import crash_test
from vhost_inflight.live.commands import dump, proxy
from vhost_inflight.options import (
    Gaps,
    JsonFile,
    Revision,
    Ring,
    check,
    check_judged,
    check_revision,
    check_ring,
    ring_of,
)  # fmt: skip
from vhost_inflight.telling import STDIO, ended, refuse, write_json
from vhost_inflight.vectors.commands import check_vectors, vectors

__all__ = ["app", "main"]

app = typer.Typer(
    name="vhost-inflight",
    help="Is vhost-user's inflight I/O tracking right? A model that is judged, and a back-end that is killed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # so that nothing but a progress bar needs rich
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:  # typer calls it so
    if asked:
        from importlib.metadata import version

        typer.echo(f"vhost-inflight {version('vhost-inflight')}")
        raise typer.Exit


@app.callback()
def _every_command(
    *,
    version: Annotated[  # the callback does it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def _exit(yes: bool) -> NoReturn:
    raise typer.Exit(0 if yes else 1)


@app.command(short_help="Judge the text: proofs, and runs that break it.")
def verify(
    *,
    ring: Ring = None,
    revision: Annotated[
        str | None, typer.Option(help="v6, merged, hardened or a profile (all revisions, if left out)")
    ] = None,
    property_: Annotated[str | None, typer.Option("--property", help="one property (all, if left out)")] = None,
    gap: Gaps = None,
    search: Annotated[bool, typer.Option("--search", help="find counterexamples anew; no time limit")] = False,
    readings: Annotated[
        bool, typer.Option("--readings", help="judge choices that a revision does not leave open, too (docs/gaps.md)")
    ] = False,
    profiles: Annotated[
        bool, typer.Option("--profiles", help="judge what back-ends of others do, too (docs/implementations.md)")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="write every counterexample to DIR (else: new ones, to counterexamples)"),
    ] = None,
    json_file: JsonFile = None,
    solver: Annotated[str, typer.Option(help="z3, cvc5 or both: who proves the goals")] = "z3",
    certify: Annotated[
        bool, typer.Option("--certify", help="let a checker that uses no solver check cvc5's proof of each goal")
    ] = False,
) -> None:
    """Judge the text: prove each property, or show a shortest run that breaks it. Exit 0: the verdicts recorded."""
    from model.properties import ALL

    check_ring(ring)
    check_judged(revision, ring)
    check("property", property_, ALL)
    gaps = parse_gaps(gap or ())
    ring = ring_of(gaps, ring)
    if gaps and revision is not None:
        check_revision(revision)  # a profile has made its choices

    from proofs.second.asking import SOLVERS, By
    from proofs.verify import run

    check("solver", solver, SOLVERS)
    by = By(solver, certify)
    by.need()
    _exit(
        run(
            ring=ring,
            revision=revision,
            property_name=property_,
            gaps=gaps,
            search=search,
            out=out,
            write=partial(write_json, json_file) if json_file is not None else None,
            quiet=json_file == STDIO,
            by=by,
            with_readings=readings,
            with_profiles=profiles,
        )
    )


@app.command(short_help="Write all goals as SMT-LIB 2, for any solver.")
def export(
    smt: Annotated[Path, typer.Option(metavar="DIR", help="the folder to write to")],
    ring: Ring = None,
    revision: Revision = None,
) -> None:
    """Write the goals of all proofs as SMT-LIB 2, a file each: any solver can be asked, and has to say unsat."""
    from model import protocol

    check_ring(ring)
    check_revision(revision)

    from proofs import report
    from proofs.second.export import export as write

    rings = [r for r in protocol.RINGS if ring in (None, r) and revision in (None, *protocol.revisions(r))]
    with report.progress("writing") as step:
        number = write(smt, rings, revision, lambda done: step(done, 0))
    typer.echo(f"{number} files written to {smt}")


@app.command()
def replay(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="a schedule file, the name of a recorded run (`list` has them), or a case of conformance",
        ),
    ],
    dump_at: Annotated[
        str | None,
        typer.Option(metavar="EVENT|crash[:N]|end", help="write the memory after that as JSON, for `recover`"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Play a schedule on real shared memory. Exit 0: it violates what it should.

    A case that `conformance --case` wrote is shown: what was stored before each death and after it, what was broken.
    """
    from vhost_inflight.conformance import showing

    if showing.is_case(file):
        _exit(showing.run(file, dump_at, json_file))
    if dump_at is not None:
        from vhost_inflight.judging.play import dumping

        _exit(dumping.run(file, dump_at, json_file=json_file))
    from vhost_inflight.judging.play.replay import run

    _exit(run(file, json_file=json_file))


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="[runs|vectors]", help="the recorded runs, or test vectors")] = "runs",
    vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="whose vectors: a vectors.jsonl; left out, the small set's")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """List the recorded runs by name, or test vectors by id.

    Wherever a schedule's file is taken, a run's name is, too; `recover` and `recover --explain` take a vector's id.
    """
    check("list", what, ("runs", "vectors"))
    if what == "vectors":
        from vhost_inflight.vectors import listed

        listed.run(vectors, json_file)
        return
    if vectors is not None:
        raise typer.BadParameter("--vectors is for `list vectors`")
    from vhost_inflight.judging.play.recorded import run

    run(json_file=json_file)


@app.command(short_help="Explain any name, with its place in the text.")
def explain(
    id_: Annotated[
        str | None, typer.Argument(metavar="ID", help="a step, property, gap, choice, revision, erratum or edit")
    ] = None,
    diff: Annotated[
        tuple[str, str] | None, typer.Option(metavar="OLD NEW", help="two revisions, as a diff of steps")
    ] = None,
    ring: Annotated[str | None, typer.Option(help="split or packed (each ring that has the name, if left out)")] = None,
    json_file: JsonFile = None,
) -> None:
    """Explain any name that this program prints, with its place in the text; without ID, list them all.

    A name is a step's id or how one begins (supply.9), a property, a gap, a choice of one (reset=kept), a revision, an
    erratum, or an edit of hardened. In JSON the answer is a list.
    """
    from model import protocol
    from vhost_inflight import explain as explained
    from vhost_inflight import explain_names, explain_text

    check_ring(ring)
    if diff is not None:
        if id_ is not None:
            raise typer.BadParameter("either an ID or --diff")
        for name in diff:
            check_revision(name)
        answers = [explained.difference(each, *diff) for each in ([ring] if ring else protocol.RINGS)]
    elif id_ is None:
        answers = [*(explained.index(each) for each in ([ring] if ring else protocol.RINGS)), explain_names.common()]
    else:
        answers = explain_names.answers(id_, ring)
        if not answers and id_.startswith(("split-", "packed-")):
            raise typer.BadParameter(f"no name {id_!r}; of a test vector: vhost-inflight recover --explain {id_}")
        if not answers:
            what = "name" if ring is None else f"name on the {ring} ring"
            raise typer.BadParameter(no_such(what, id_, explain_names.names(ring)))
    if json_file is not None:
        write_json(json_file, answers)
    if json_file != STDIO:
        typer.echo("\n\n".join(explain_text.text(answer) for answer in answers))


@app.command(short_help="Print a patch of your copy of the text.")
def mend(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="your copy of the specification's text, vhost-user.rst")],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="an erratum, store-order, or a gap; again for more (all, if left out)"),
    ] = None,
) -> None:
    """Print a patch of your copy of the specification's text: its errata, and the defaults of its gaps.

    Each mend is a unified diff, for `patch -p1` or `git apply`. Exit 2: the copy is not shaped as expected, and why.
    """
    from model import protocol

    if "no-order" in (only or ()):
        raise typer.BadParameter(
            "the published text has the mend of no-order; what it leaves open is counter-after-reconnect"
        )
    for name in only or ():
        check("mend", name, protocol.mends())

    from vhost_inflight.mend.command import run

    raise typer.Exit(run(file, only or ()))


_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""For commands that read their arguments themselves: see `vhost_inflight.__main__`, which starts them without typer."""


@app.command(context_settings=_PASSED_ON)
def backend(context: typer.Context) -> None:
    """Serve a file as a vhost-user-blk device."""
    from refimpl.backend.process import serve

    serve(context.args, "vhost-inflight backend")


@app.command(context_settings=_PASSED_ON, short_help="Say what to make of a region and a ring.")
def recover(context: typer.Context) -> None:
    """Say what a back-end must make of the bytes of a region and a ring."""
    from vhost_inflight.recover.command import ask

    _exit(ask(context.args, "vhost-inflight recover"))


app.command("crash-test", short_help="Kill a real back-end at its stores, and judge.")(crash_test)
app.command(short_help="Read region and ring out of a live process.")(dump)
app.command(short_help="Stand between front-end and back-end, and tell.")(proxy)
app.command(short_help="Write test vectors for other back-ends.")(vectors)
app.command(short_help="Kill somebody's back-end at its stores, and judge.")(conformance)
app.command("check-vectors", short_help="Test somebody's back-end with vectors.")(check_vectors)


@app.command(short_help="Draw procedures, regions and runs.")
def diagrams(out: Annotated[Path, typer.Option(file_okay=False, help="the folder to write to")]) -> None:
    """Draw the procedures, the region and a counterexample, from the model's own tables."""
    from diagrams import RenderError, write

    try:
        written = write(out)
    except RenderError as error:
        refuse(str(error))
    for path in written:
        typer.echo(path)


def main() -> NoReturn:
    """Run the command line; what a user can mend is said in one line."""
    ended(_command(), ModelError)


@cache
def _command() -> Any:
    """Make the commands of their signatures; once in a process, as it takes a while."""
    return get_command(app)
