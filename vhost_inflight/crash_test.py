"""The command crash-test, for `vhost_inflight.cli`; it imports what it needs when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from refimpl.choices import PROVED, parse_gaps
from vhost_inflight.options import Gaps, JsonFile, check_played, check_revision, check_ring

if TYPE_CHECKING:
    from vhost_inflight.judging.crash.stops import Pair

__all__ = ["crash_test"]


def _exit(yes: bool) -> NoReturn:
    raise typer.Exit(0 if yes else 1)


def _pair(back: str | None, front: str | None, *, drawn: bool) -> Pair | None:
    """Return the generations of back-end and front-end, None where nothing is stopped; ``drawn``: by dice."""
    if back is None:
        if front is not None:
            raise typer.BadParameter("--front-end-stop goes with --stop, which has the back-end's generation")
        return None
    if not drawn:
        raise typer.BadParameter("--stop is not for --guest, --free, --schedule and --record: its moments are drawn")
    from vhost_inflight.judging.crash.stops import Pair

    return Pair(back, back if front is None else front)


def _check_jobs(jobs: int, *, one: bool) -> None:
    """Refuse several tests where there is one by its nature."""
    if jobs > 1 and one:
        raise typer.BadParameter("--jobs is not for --guest, --schedule and --record: each is one test")


def _check_guest(*, schedule: Path | None, free: bool, record: Path | None, gap: Sequence[str] | None) -> None:
    """Refuse what is not for a guest."""
    if schedule is not None:
        raise typer.BadParameter("--schedule is for the driver that the schedule is of, not for --guest")
    if free or record is not None:
        raise typer.BadParameter("--free and --record are not for --guest, which always runs free")
    if gap:
        raise typer.BadParameter("--gap is not for --guest, which has the defaults")


def _check_nobody_killed(*, guest: bool, moves: int, command: str | None, at: str | None) -> None:
    """Refuse a test without a kill, but for that of a guest that moves with our own back-end."""
    if command is not None:
        raise typer.BadParameter(
            "--kills 0 is for our own back-end, which says how many requests are in flight when its guest leaves; "
            "somebody's (--backend-cmd) says nothing of that"
        )
    if not (guest and moves):
        raise typer.BadParameter(
            "--kills 0 is for --guest with --moves N: where nobody is killed, somebody has to move"
        )
    if at is not None:
        raise typer.BadParameter("--at says where to die, and with --kills 0 nobody does")


def _check_queues(queues: int, *, several: bool) -> None:
    """Refuse more queues than one where each is judged alone."""
    if queues > 1 and not several:
        raise typer.BadParameter("--queues is for --guest, and for --stop, where others run on while ring 0 is stopped")


def crash_test(  # noqa: C901  # what does not go together is refused, pair by pair
    *,
    ring: Annotated[str, typer.Option(help="split or packed")] = "split",
    revision: Annotated[
        str | None,
        typer.Option(help="v6, merged or hardened; left out, what is proved: merged (split), hardened (packed)"),
    ] = None,
    gap: Gaps = None,
    queue_size: Annotated[
        int | None, typer.Option(min=1, max=32768, help="4; of a guest what its QEMU wants, if left out")
    ] = None,
    kills: Annotated[int, typer.Option(min=0, help="0: nobody, with --guest --moves alone")] = 100,
    seed: Annotated[int, typer.Option()] = 0,
    guest: Annotated[bool, typer.Option("--guest", help="a real driver: QEMU with a Linux guest")] = False,
    queues: Annotated[
        int,
        typer.Option(
            min=1, max=4, help="with --guest or --stop: queues of the disk; ring 0 is stopped, the others run on"
        ),
    ] = 1,
    command: Annotated[
        str | None,
        typer.Option(
            "--backend-cmd", metavar="COMMAND", help="with --guest, somebody's back-end; {socket} and {image} are paths"
        ),
    ] = None,
    writers: Annotated[
        int | None, typer.Option(min=1, max=64, help="with --backend-cmd, how many write at a time; 16, if left out")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="STEP[:N]|CASE",
            help="with --guest, always die right there; CASE is one of conformance (--backend-cmd)",
        ),
    ] = None,
    qemu: Annotated[
        Path | None, typer.Option(metavar="PROGRAM", help="with --guest, this QEMU (or set VHOST_INFLIGHT_QEMU)")
    ] = None,
    moves: Annotated[
        int, typer.Option(min=0, max=20, help="with --guest, take it to another QEMU so often: live migrations")
    ] = 0,
    schedule: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="play this schedule, or recorded run; it says ring, revision and size"),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write what happened as a schedule, for `replay`")
    ] = None,
    free: Annotated[
        bool, typer.Option("--free", help="both processes at their own pace: the seed does not decide all")
    ] = False,
    stop: Annotated[
        str | None,
        typer.Option(
            metavar="GENERATION",
            help="stop the ring, too, and start it again: the back-end is one of drain, may-suspend, skip-drain "
            "(docs/stopping.md)",
        ),
    ] = None,
    front_end_stop: Annotated[
        str | None,
        typer.Option(metavar="GENERATION", help="with --stop, the front-end's generation; left out, the back-end's"),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=64, help="tests at once, a seed each from --seed on; the kills are shared out")
    ] = 1,
    json_file: JsonFile = None,
) -> None:
    """Kill a real back-end at its stores and judge what happened. Exit 1: a property was violated.

    With --guest, what a Linux guest wrote is judged by what it reads back; with --backend-cmd, of anybody's back-end.
    """
    check_ring(ring)
    if kills == 0:
        _check_nobody_killed(guest=guest, moves=moves, command=command, at=at)
    one = guest or schedule is not None or record is not None
    _check_jobs(jobs, one=one)
    pair = _pair(stop, front_end_stop, drawn=not (free or one))
    _check_queues(queues, several=guest or pair is not None)
    if command is not None:
        if not guest:
            raise typer.BadParameter(
                "--backend-cmd is for --guest; without one, `conformance` kills somebody's back-end"
            )
        if revision is not None or gap or moves or schedule is not None or record is not None or free:
            raise typer.BadParameter(
                "--revision, --gap, --moves, --schedule, --record and --free are for our own back-end"
            )
        from vhost_inflight.conformance import under_guest

        asked = under_guest.Asked(command, ring, queue_size, queues, kills, seed, at, writers or 16, qemu)
        _exit(under_guest.run(asked, json_file))
    if writers is not None:
        raise typer.BadParameter("--writers is for --backend-cmd")
    check_revision(revision)
    revision = revision or PROVED[ring]
    gaps = parse_gaps(gap or ())
    if guest:
        from vhost_inflight.guest import crash, moved

        _check_guest(schedule=schedule, free=free, record=record, gap=gap)
        if kills == 0:
            _exit(
                moved.run(
                    ring=ring, revision=revision, queue_size=queue_size, queues=queues, moves=moves, seed=seed,
                    qemu=qemu, json_file=json_file,
                )
            )  # fmt: skip
        _exit(
            crash.run(
                ring=ring, revision=revision, queue_size=queue_size, queues=queues, kills=kills, seed=seed, at=at,
                qemu=qemu, moves=moves, json_file=json_file,
            )
        )  # fmt: skip
    if at is not None or qemu is not None or moves:
        raise typer.BadParameter("--at, --qemu and --moves are for --guest")
    check_played(gaps)
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
            pair=pair,
            queues=queues,
            schedule=schedule,
            record=record,
            json_file=json_file,
            jobs=jobs,
        )
    )
