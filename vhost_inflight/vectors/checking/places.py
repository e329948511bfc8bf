"""The name of a byte: which field of the region or the ring it is in."""

from __future__ import annotations

import ctypes

from refimpl.errors import UsageError
from vhost_inflight.recover.memory import fields_at, structures
from vhost_inflight.vectors.form import Given

__all__ = ["name"]


def name(given: Given, part: str, offset: int) -> str:
    """Name the field that a byte of a part is in; where there is no field, the byte alone."""
    if part == "call":
        return "the notification of the driver"
    event = _event_index(given, part, offset)
    if event:
        return event
    try:
        structure = structures(given.ring, given.revision, given.queue_size, given.region_size)[part]
    except (UsageError, KeyError):
        return f"{part}, byte {offset}"
    if offset >= ctypes.sizeof(structure):
        return f"{part}, byte {offset}, past what it has to hold"
    fields = fields_at(structure, offset, offset + 1)
    if not fields:
        return f"{part}, byte {offset}, padding"
    return f"{part}{'' if fields[0].name.startswith('[') else '.'}{fields[0].name} (byte {offset})"


def _event_index(given: Given, part: str, offset: int) -> str | None:
    """Name the event index behind a ring of a split ring, if a byte is of it."""
    begin = {"available": 4 + 2 * given.queue_size, "used": 4 + 8 * given.queue_size}.get(part)
    if given.ring != "split" or begin is None or not begin <= offset < begin + 2:
        return None
    return f"{'used_event' if part == 'available' else 'avail_event'}, behind the {part} ring (byte {offset})"
