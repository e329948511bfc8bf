"""The commands dump and proxy, for `vhost_inflight.cli`; each imports what it needs when it runs."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.choices import RINGS
from refimpl.documents import number
from refimpl.errors import InflightError, UsageError
from refimpl.names import no_such
from vhost_inflight.options import JsonFile, check, writable
from vhost_inflight.telling import STDIO, write_json

if TYPE_CHECKING:
    from refimpl.wire.payload import MemoryRegion
    from vhost_inflight.live.proxy import Proxy
    from vhost_inflight.live.states import Ring

__all__ = ["dump", "proxy"]

_MEMORY = "GUEST:SIZE[:USER[:OFFSET]][@FD]"


def dump(
    *,
    pid: Annotated[int, typer.Option(min=1, metavar="PID", help="the back-end, or QEMU")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=writable,
            help="write region and ring of one queue, for `recover`; - is standard output",
        ),
    ] = None,
    queue: Annotated[int, typer.Option(min=0, metavar="N", help="which queue")] = 0,
    seen: Annotated[
        Path | None, typer.Option("--proxy", metavar="FILE", help="the status file of a proxy: it says where all is")
    ] = None,
    desc: Annotated[str | None, typer.Option(metavar="ADDRESS", help="of the ring's descriptors")] = None,
    avail: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="of its available ring; packed: the driver's event area")
    ] = None,
    used: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="of its used ring; packed: the device's event area")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="N", help="what SET_VRING_BASE carried: packed, where a fresh region begins")
    ] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(
            metavar=_MEMORY,
            help="a region of the guest's memory; again for more. Left out, the one other "
            "file of shared memory, from guest address 0",
        ),
    ] = None,
    queue_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="entries of the ring; as many as its region, if left out"),
    ] = None,
    fd: Annotated[int | None, typer.Option(min=0, metavar="N", help="the shared buffer's, in that process")] = None,
    offset: Annotated[int, typer.Option(min=0, metavar="BYTES", help="where the buffer begins in its file")] = 0,
    ring_kind: Annotated[str | None, typer.Option(metavar="KIND", help="split or packed")] = None,
    layout: Annotated[str | None, typer.Option(help="of the region: merged (hardened has the same) or v6")] = None,
    region_size: Annotated[int | None, typer.Option(min=1, max=32768, metavar="N", help="entries of a region")] = None,
    queues: Annotated[int | None, typer.Option(min=1, max=65535, metavar="N", help="regions in the buffer")] = None,
    stride: Annotated[int | None, typer.Option(min=1, metavar="BYTES", help="from one region to the next")] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="stop the process (SIGSTOP) while it is read, and let it go on")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Find the shared buffer among a process's open files, and say what its regions hold. Nothing is changed.

    With --out, region and ring are written as an input of `recover`; where the ring is, --proxy knows, or --desc,
    --avail and --used say (user addresses or guest addresses): docs/dump.md. What is read off a process that runs may
    be torn; if it changed meanwhile, that is said. Exit 2: no such process, no right to look at it, no region.
    """  # fmt: skip
    from vhost_inflight.live import dump as dumping
    from vhost_inflight.live.buffers import LAYOUTS, Known
    from vhost_inflight.live.seen import load

    check("ring", ring_kind, RINGS)
    check("layout", layout, LAYOUTS)
    if out == STDIO and json_file == STDIO:
        raise UsageError("--out - and --json - both want standard output")
    ring = _ring(queue_size, base, desc, avail, used)
    if out is not None and ring is None and seen is None:
        raise UsageError("--out needs to know where the ring is: --desc, --avail and --used, or --proxy")
    if seen is not None and (ring or memory or fd is not None):
        raise UsageError("--proxy knows where all is: no --desc, --avail, --used, --memory, --fd")
    result = dumping.found(
        dumping.Asked(
            pid,
            fd,
            offset,
            Known(ring_kind, layout, region_size, queues, stride),
            queue,
            ring,
            [_region(text) for text in memory or ()],
            load(seen) if seen is not None else None,
            stop,
        )
    )
    if out is not None and result.state is None:
        raise UsageError(f"queue {queue}: the proxy has not seen yet where its ring is")
    if result.torn:
        print("vhost-inflight: it changed while it was read, so parts may be of different moments; see --stop",
              file=sys.stderr)  # fmt: skip
    if json_file is not None:
        write_json(json_file, dumping.document(pid, result))
    if out is not None:
        write_json(out, result.state)
    if STDIO not in {out, json_file}:
        typer.echo("\n".join(dumping.report(pid, result)))
        if out is not None:
            typer.echo(f"queue {queue} and its region written to {out}")


def _ring(size: int | None, base: str | None, *addresses: str | None) -> Ring | None:
    """Return where a ring is. Raises UsageError for some of its parts without the others."""
    from vhost_inflight.live.states import Ring

    given = [text for text in addresses if text is not None]
    if given and len(given) < len(addresses):
        raise UsageError("a ring has three parts: --desc, --avail and --used go together")
    if not given and (size or base is not None):
        raise UsageError("--queue-size and --base are those of the ring that --desc, --avail and --used say")
    desc, avail, used = (number(text, 64) for text in given) if given else (0, 0, 0)
    return Ring(size or 0, desc, avail, used, None if base is None else number(base, 32)) if given else None


def _region(text: str) -> tuple[MemoryRegion, int | None]:
    """Return a region of memory, and the file descriptor that it comes from, if that is said. Raises UsageError."""
    from refimpl.wire.payload import MemoryRegion

    place, at, fd = text.partition("@")
    parts = place.split(":")
    if not 2 <= len(parts) <= 4 or (at and not re.fullmatch("[0-9]{1,9}", fd)):
        raise UsageError(f"--memory {text}: wanted is {_MEMORY}")
    guest, size, user, offset = [*(number(part, 64) for part in parts), 0, 0][:4]
    return MemoryRegion(guest, size, user, offset), int(fd) if at else None


def proxy(
    *,
    listen: Annotated[Path, typer.Option(metavar="PATH", help="the socket for front-ends, which is made")],
    connect: Annotated[Path, typer.Option(metavar="PATH", help="the socket that the back-end listens at")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="where regions and rings are written to")
    ] = None,
    dump_at: Annotated[
        list[str] | None,
        typer.Option(metavar="MESSAGE", help="write them before a request of this name is passed on; again for more"),
    ] = None,
    status: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=writable, help="kept up to date with where all is, for dump --proxy"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="say nothing of messages, but of all else")] = False,
) -> None:
    """Pass on what a front-end and a back-end say to each other, and say what it is. Until SIGTERM or Ctrl-C.

    Each queue's region and ring are written as inputs of `recover` when the back-end's side closes, at SIGUSR1, and at
    each MESSAGE: DIR/NNN-queueN.json. docs/dump.md.
    """
    from refimpl.wire.codec import Request
    from vhost_inflight.live.proxy import Proxy

    for name in dump_at or ():
        if name not in Request.__members__:
            raise UsageError(no_such("message", name, Request.__members__))
    if dump_at and out is None:
        raise UsageError("--dump-at needs a folder to write to: --out")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InflightError(f"{out}: {error.strerror}") from error
    with Proxy(listen, connect, _say, out=out, dump_at=dump_at or (), status=status, quiet=quiet) as running:
        _serve(running)


def _say(line: str) -> None:
    print(f"proxy: {line}", flush=True)


def _serve(running: Proxy) -> None:
    """Serve until a signal ends it; SIGUSR1 asks for what is to be written down."""
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: running.stop())
    signal.signal(signal.SIGUSR1, lambda *_: running.ask_for_dump())
    running.serve()
