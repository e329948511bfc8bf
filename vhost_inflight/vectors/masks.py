"""What of memory is compared: a right back-end may keep other values in what nobody reads.

After recovery somebody will read: the header; `inflight` of every entry; of an inflight request its counter, and on a
packed ring its chain's copies, its length and its end; the links of the free list. Of the ring: what the driver stored,
which recovery has to leave alone; the used elements; not the wish to be kicked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from model.interpret import Machine, StateTuple
from model.layout import Region
from vhost_inflight.vectors.form import PARTS, Store

__all__ = ["region_mask", "ring_mask", "trace_mask"]

_UNREAD = ("features", "padding")
_AVAIL_USED = (0x8080).to_bytes(2, "little")
_COPIES = ("addr", "len", "id", "flags")


def region_mask(machine: Machine, region: Region, state: StateTuple) -> bytes:
    """Give the mask of a region after recovery, which ends in this state."""
    entries = machine.sizes.entries

    def get(name: str) -> tuple[int, ...]:
        held: tuple[int, ...] = state[machine.place[f"region.desc[].{name}"]]
        return held

    made = bytearray(region.size(entries))
    for field in region.header.fields:
        if field.name not in (*_UNREAD, "last_batch_head", "process_head"):
            _show(made, field.offset, field.width)
    shown: list[tuple[int, str]] = [(e, "inflight") for e in range(entries)]
    inflight = [e for e in range(entries) if get("inflight")[e]]
    counted = ["counter"] if any(f.name == "counter" for f in region.entry.fields) else []
    shown += [(e, name) for e in inflight for name in counted]
    if region.ring == "packed":
        for head in inflight:
            shown += [(head, "last"), (head, "num")]
            chain = _walk(get("next"), head, get("num")[head], entries)
            shown += [(e, name) for e in chain for name in _COPIES] + [(e, "next") for e in chain[:-1]]
        free = _walk(get("next"), state[machine.place["region.free_head"]], entries, entries)
        shown += [(e, "next") for e in free]
    for entry, name in shown:
        field = region.entry.field(name)
        _show(made, region.offset(entry) + field.offset, field.width)
    return bytes(made)


def _walk(following: tuple[int, ...], start: int, limit: int, entries: int) -> list[int]:
    found: list[int] = []
    while start < entries and len(found) < limit:
        found.append(start)
        start = following[start]
    return found


def _show(made: bytearray, offset: int, width: int) -> None:
    made[offset : offset + width] = b"\xff" * width


def ring_mask(ring: str, parts: Mapping[str, bytes], unmarked: Iterable[Store] = ()) -> dict[str, bytes]:
    """Give the masks of a ring; of slots that recovery marks available again, AVAIL and USED alone are compared."""
    made = {name: bytearray(b"\xff" * len(parts[name])) for name in PARTS[ring]}
    if ring == "packed":
        made["device_event"] = bytearray(len(parts["device_event"]))
    else:
        made["used"][:2] = bytes(2)
        made["used"][-2:] = bytes(2)
    for store in unmarked:
        made[store.part][store.offset : store.offset + 2] = _AVAIL_USED
    return {name: bytes(data) for name, data in made.items()}


def trace_mask(ring: str, region: Region, parts: Mapping[str, bytes], *, notifications: bool) -> dict[str, bytes]:
    """Give the masks of a life: every field but padding, and what notifies where a vector is about that.

    Of a packed ring's flags AVAIL and USED alone: of a used element the device may say more (WRITE: its len is valid).
    """
    entries = (len(parts["region"]) - region.header.size) // region.entry.size
    of_region = bytearray(len(parts["region"]))
    for field in region.header.fields:
        if field.name not in _UNREAD:
            _show(of_region, field.offset, field.width)
    for entry in range(entries):
        for field in region.entry.fields:
            if field.name not in _UNREAD:
                _show(of_region, region.offset(entry) + field.offset, field.width)
    made = {"region": bytes(of_region), **ring_mask(ring, parts)}
    if ring == "packed":
        made["descriptors"] = (b"\xff" * 14 + _AVAIL_USED) * (len(parts["descriptors"]) // 16)
    if notifications:
        made["call"] = b"\xff"
        if ring == "packed":
            made["device_event"] = b"\x00\x00\xff\xff"
        else:
            made["used"] = b"\x00\x00" + b"\xff" * (len(parts["used"]) - 2)
    return made
