"""The commands vectors and check-vectors, for `vhost_inflight.cli`; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vhost_inflight.options import JsonFile, check, writable
from vhost_inflight.telling import STDIO, write_json

__all__ = ["check_vectors", "vectors"]


def vectors(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", file_okay=False, help="the folder to write to")],
    size: Annotated[str, typer.Option(help="small, standard or large")] = "standard",
    seed: Annotated[int, typer.Option(help="draws lives for the standard and the large set")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Write a set of test vectors, from the model alone: vectors.jsonl, vectors.vec, and raw bytes in raw.

    The same seed gives the same bytes. Raw files of another set in DIR are removed. What is in a set: docs/vectors.md.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from vhost_inflight.vectors.sets import SIZES
    from vhost_inflight.vectors.sets import vectors as made
    from vhost_inflight.vectors.writing import VERSION, write

    check("size", size, SIZES)
    terminal = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed} vectors"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as bar:
        task = bar.add_task("")
        counted = write(made(size, seed), out, size, seed, lambda name: bar.update(task, advance=1, description=name))
    if json_file is not None:
        write_json(json_file, {"version": VERSION, "size": size, "seed": seed, "vectors": dict(counted)})
    if json_file != STDIO:
        told = ", ".join(f"{number} {what}" for what, number in sorted(counted.items()))
        typer.echo(f"{counted.total()} vectors written to {out}: {told}")


def check_vectors(
    *,
    command: Annotated[
        str | None, typer.Option("--cmd", metavar="COMMAND", help="starts the adapter; no shell reads it")
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(metavar="PATH", exists=True, help="a file of vectors, or a folder that has one (the small set)"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="ids, as a shell's pattern; again for more")
    ] = None,
    form: Annotated[str, typer.Option(help="of the messages: json or text")] = "json",
    limit: Annotated[float, typer.Option(metavar="SECONDS", help="for each answer")] = 10,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a report in JUnit's XML, too", callback=writable)
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="print an adapter to begin with: recover.c, split.rs, split.go")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Put test vectors to an adapter around somebody's back-end, and judge its answers: docs/vectors.md.

    Exit 0: every answer is right, or a legal "unsupported". Exit 1: one is not. Exit 2: the adapter cannot be asked.
    """
    from vhost_inflight.vectors import adapters

    if source is not None:
        check("adapter", source, adapters.SOURCES)
        typer.echo(adapters.source(source), nl=False)
        return
    if command is None:
        raise typer.BadParameter("--cmd is missing: the command that starts the adapter")
    check("form", form, ("json", "text"))
    if junit == STDIO:
        raise typer.BadParameter("--junit needs a file: standard output is for words, or --json")

    from vhost_inflight.vectors.checking.command import run

    passed = run(
        command, vectors=vectors, only=only or (), message_form=form, limit=limit, junit=junit, json_file=json_file
    )
    raise typer.Exit(0 if passed else 1)
