"""The command conformance, for `vhost_inflight.cli`; it imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vhost_inflight.options import JsonFile, check, writable
from vhost_inflight.telling import STDIO

__all__ = ["conformance"]


def conformance(
    *,
    command: Annotated[
        str,
        typer.Option(
            "--backend-cmd",
            metavar="COMMAND",
            help="starts it; {socket} and {image} stand for paths; no shell reads it",
        ),
    ],
    successor: Annotated[
        str | None,
        typer.Option(
            "--successor-cmd",
            metavar="COMMAND",
            help="starts each life after a death, where another program finds what the first one left",
        ),
    ] = None,
    ring: Annotated[str | None, typer.Option(help="split or packed (each that it offers, if left out)")] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="the text that it follows (what is proved, if left out: split merged, packed hardened)"),
    ] = None,
    load: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="mixed, queues, in-use (all, if left out)")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="CASE|FILE", help="try this case alone, as a report, or a file of --case, names it"),
    ] = None,
    second: Annotated[int, typer.Option(min=0, metavar="N", help="how many cases with a second crash, about")] = 400,
    random: Annotated[
        bool, typer.Option("--random", help="kill at random times, as where processes may not be traced")
    ] = False,
    kills: Annotated[int, typer.Option(min=1, metavar="N", help="of each load, at random times")] = 100,
    in_order: Annotated[
        bool, typer.Option("--in-order", help="its device finishes in the order in which it is given: judge that order")
    ] = False,
    event_index: Annotated[
        bool,
        typer.Option(
            "--event-index",
            help="packed: the driver wants to be notified of one used element, as Linux does",
        ),
    ] = False,
    patience: Annotated[
        float | None,
        typer.Option(
            min=0.05, max=3600, metavar="SECONDS", help="that it may rest while it owes something", show_default="0.5"
        ),
    ] = None,
    failures: Annotated[int, typer.Option(min=0, metavar="N", help="leave a load after so many; 0: never")] = 50,
    jobs: Annotated[int, typer.Option(min=0, metavar="N", help="how many cases at a time; 0: one for each core")] = 0,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a report in JUnit's XML, too", callback=writable)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a report as one HTML file, too", callback=writable)
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the memory of the shortest failure, for `recover`", callback=writable),
    ] = None,
    case: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the shortest failing case, for `replay` and --at", callback=writable),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Kill somebody's vhost-user-blk back-end at each of its stores, and judge what a guest would see.

    Exit 0: it passes every case. Exit 1: it does not. Exit 2: it cannot be tried. See docs/conformance.md.
    """
    from refimpl.choices import REVISIONS, RINGS
    from vhost_inflight.conformance.load import LOADS

    check("ring", ring, RINGS)
    check("revision", revision, REVISIONS)
    for name in load or ():
        check("load", name, LOADS)
    if STDIO in {junit, html, state, case}:
        raise typer.BadParameter(
            "--junit, --html, --state and --case need a file: standard output is for words, or --json"
        )

    from vhost_inflight.conformance.command import Asked, run
    from vhost_inflight.conformance.html import SHOWN
    from vhost_inflight.conformance.report import PATIENCE
    from vhost_inflight.conformance.showing import as_found

    given: dict[str, Any] = {
        "revision": revision, "patience": patience, "in_order": in_order or None, "event_index": event_index or None,
        "successor": successor,
    }  # fmt: skip
    named, told = (None, given) if at is None else as_found(at, given)
    asked = Asked(
        command,
        ring,
        revision=told["revision"] or "",
        loads=load or (),
        at=named,
        second=second,
        random=random,
        kills=kills,
        patience=told["patience"] or PATIENCE,
        failures=failures,
        jobs=jobs,
        shown=SHOWN if html is not None else int(case is not None),
        in_order=bool(told["in_order"]),
        successor=told["successor"],
        event_index=bool(told["event_index"]),
    )
    passed = run(asked, json_file=json_file, junit=junit, html=html, state=state, case=case)
    raise typer.Exit(0 if passed else 1)
