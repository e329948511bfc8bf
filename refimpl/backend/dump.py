"""What a ring and its region hold when a back-end starts with them: a file that the command ``recover`` reads.

Written before anything is changed, so that somebody can ask afterwards what a back-end had to make of these bytes.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from ctypes import sizeof
from pathlib import Path
from typing import Any

from refimpl.choices import Choices
from refimpl.errors import DriverError, FrontEndError, InflightError
from refimpl.layout import DESC_INDIRECT, VringDesc
from refimpl.packed.ring import PackedRing
from refimpl.split.chain import TABLE_MAX, GuestMemory, GuestRegion
from refimpl.split.ring import SplitRing


def dump_state(
    folder: Path, number: int, ring: SplitRing | PackedRing, region: Any, *, choices: Choices, memory: GuestMemory
) -> Path:
    """Write what ring ``number`` and its region hold to ``folder``/ring-NUMBER.json, and return that path.

    The indirect tables of what is marked inflight are written too, as far as their addresses are in the guest's
    ``memory``. Raises InflightError when the file cannot be written.
    """
    document = state_of(ring, region, choices=choices, memory=memory)
    path = folder / f"ring-{number}.json"
    unfinished = path.with_suffix(".part")
    try:
        unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
        unfinished.replace(path)  # whoever reads it finds all of it, wherever this process is killed
    except OSError as error:
        raise InflightError(f"state of ring {number}: {path}: {error.strerror}") from error
    return path


def state_of(
    ring: SplitRing | PackedRing, region: Any, *, choices: Choices, memory: GuestMemory | None = None
) -> dict[str, Any]:
    """Return what a ring and its region hold, as ``recover`` reads it, with the indirect tables in ``memory``."""
    tables = _tables(ring, region, memory or GuestMemory())
    return {
        "format": "vhost-inflight state 1",
        "ring": choices.ring,
        "revision": choices.revision,
        "gaps": choices.changed(),
        "queue_size": ring.size,
        "region_size": len(region.desc),
        "region": bytes(region).hex(),
        "ring_memory": {name: part.hex() for name, part in ring_parts(ring).items()},
        "memory": [{"address": at.address, "bytes": at.view.hex()} for at in tables.regions],
    }


def ring_parts(ring: SplitRing | PackedRing) -> dict[str, bytes]:
    """Return the bytes of each part of a ring, by the name that ``recover`` has for it."""
    if isinstance(ring, PackedRing):
        names = ("driver_event", "device_event")
        return {"descriptors": bytes(ring.desc)} | {name: bytes(getattr(ring, name)) for name in names}
    available = bytes(ring.avail) + bytes(ring.used_event)
    return {"descriptors": bytes(ring.desc), "available": available, "used": bytes(ring.used) + bytes(ring.avail_event)}


def _tables(ring: SplitRing | PackedRing, region: Any, memory: GuestMemory) -> GuestMemory:
    """Return the indirect tables of what is marked, where they can be read; a wrong one is for the recovery to find."""
    found = GuestMemory()
    for desc in _marked(ring, region):
        if desc.flags & DESC_INDIRECT and desc.len <= TABLE_MAX * sizeof(VringDesc):
            with suppress(DriverError, FrontEndError):
                found.add(GuestRegion(desc.addr, memory.translate(desc.addr, desc.len)))
    return found


def _marked(ring: SplitRing | PackedRing, region: Any) -> Iterator[Any]:
    """Yield the first descriptor of each request that is marked inflight, or the packed region's copy of it."""
    for number, entry in enumerate(region.desc):
        if entry.inflight and isinstance(ring, PackedRing):
            yield entry
        elif entry.inflight and number < ring.size:
            yield ring.desc[number]
