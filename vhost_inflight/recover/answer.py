"""A recovery as the JSON that the command answers with (recovery.schema.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from refimpl.errors import DriverError, InflightError, RegionError
from refimpl.split.chain import GuestMemory, GuestRegion
from vhost_inflight.recover.block import block_request
from vhost_inflight.recover.chains import Descriptor
from vhost_inflight.recover.doubt import Doubt, doubts
from vhost_inflight.recover.record import Change, Recovery, Resubmitted, Store

__all__ = [
    "FORMAT",
    "answer",
    "answer_line",
    "as_line",
    "changed_gaps",
    "cleared",
    "committed",
    "culprit",
    "rolled_back",
    "unmarked",
]

FORMAT: Final = "vhost-inflight recovery 1"
"""What an answer says that it is."""

as_line: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
"""Writes JSON as a line, without spaces."""

_CLEARING: Final = {"split": "split.reconnect.1b", "packed": "packed.reconnect.3"}


def answer(recovery: Recovery, against: Sequence[Doubt] | None = None) -> dict[str, Any]:
    """Return a recovery as JSON; of bytes that break a rule, which rule and who broke it.

    ``against`` are its doubts, for who has them already.
    """
    long: dict[str, Any] = {"stores": [_store(store) for store in recovery.stores]}
    if recovery.refused is None:
        long |= {"region_after": recovery.after["region"].hex(), "ring_after": _ring_after(recovery) or None}
    return _answer(recovery, against, long)


def answer_line(recovery: Recovery, against: Sequence[Doubt] | None = None) -> str:
    """Return the JSON of `answer` as a line, for who asks often.

    Nearly all of it is the stores and the bytes. A store's text is kept, since most are those of other answers too, and
    what is written in hex needs no quoting; so they are put where three zeros were, all at once, since each copy of a
    text of that length costs. No string of the rest looks like those: in a string, quotation marks have a backslash
    before them.
    """
    after = ""
    if recovery.refused is None:
        ring = ",".join(f'"{name}":"{part}"' for name, part in _ring_after(recovery).items())
        after = f',"region_after":"{recovery.after["region"].hex()}","ring_after":{f"{{{ring}}}" if ring else "null"}'
    zeros = dict.fromkeys(("stores", "region_after", "ring_after") if after else ("stores",), 0)
    before, _, rest = as_line(_answer(recovery, against, zeros)).partition(as_line(zeros)[1:-1])
    stores = list(map(_store_line, recovery.stores)) or [""]
    stores[0] = f'{before}"stores":[{stores[0]}'
    stores[-1] += f"]{after}{rest}"
    return ",".join(stores)


def _ring_after(recovery: Recovery) -> dict[str, str]:
    """Return the parts of the ring that recovery changed, in hex."""
    changed = {name: part.hex() for name, part in recovery.after.items() if part != recovery.before[name]}
    changed.pop("region", None)
    return changed


def _answer(recovery: Recovery, against: Sequence[Doubt] | None, long: dict[str, Any]) -> dict[str, Any]:
    """Return a recovery as JSON, with what is long as it is given."""
    told = [_doubt(doubt) for doubt in (doubts(recovery) if against is None else against)]
    if recovery.refused is not None:
        return {"format": FORMAT, "error": _error(recovery, recovery.refused, long), "doubts": told}
    given = recovery.given
    guest = GuestMemory(GuestRegion(at, memoryview(piece)) for at, piece in given.pieces) if given.pieces else None
    return {
        "format": FORMAT,
        "ring": given.ring,
        "revision": given.revision,
        "gaps": changed_gaps(recovery),
        "queue_size": given.queue_size,
        "fresh": f"{given.ring}.start.fresh" in recovery.steps,
        "cleared": [store.entry for store in cleared(recovery)],
        "committed": _changes(committed(recovery)),
        "rolled_back": _rolled_back(recovery),
        "resubmit": [_request(request, given.ring, guest) for request in recovery.resubmitted],
        "fetch_position": _position(recovery),
        "used_position": _used_position(recovery),
        "available": recovery.available,
        "signal": recovery.signalled,
        "counter": recovery.counter,
        **long,
        "doubts": told,
    }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    """Return a doubt as JSON: its kind, its sentence, and what that kind has."""
    found: dict[str, Any] = {"kind": doubt.kind, "text": doubt.text}
    if doubt.shown is not None:
        entry, identity = doubt.shown.request.entry, doubt.shown.request.identity
        found |= {"head": entry} if identity is None else {"entry": entry, "id": identity}
        found |= {"slot": doubt.shown.slot, "visible": doubt.shown.visible}
    if doubt.other is not None:
        other = doubt.other
        refused = other.refused is not None
        found |= {"revision": other.given.revision, "differs": list(doubt.differs)}
        found |= {"error": other.refused.rule if other.refused is not None else None}
        found |= {"resubmit": None if refused else [request.entry for request in other.resubmitted]}
        found |= {"fetch_position": None if refused else _position(other)}
    return found


def changed_gaps(recovery: Recovery) -> dict[str, str]:
    """Return the choices that are not the default of their gap."""
    return recovery.given.choices.changed()


def cleared(recovery: Recovery) -> list[Store]:
    """Return the stores that set the inflight field of an entry to 0, whatever it was."""
    return recovery.stores_of(_CLEARING[recovery.given.ring])


def committed(recovery: Recovery) -> dict[str, Change]:
    """Return what a commit ("When reconnecting", 1(c)) set; nothing if there was none."""
    ring = recovery.given.ring
    found = _set_by(recovery, f"{ring}.reconnect.1c")
    # a store that is wider than a field writes its neighbours anew, with the values that they have
    return {name: change for name, change in found.items() if ring == "split" or name.startswith("old_")}


def rolled_back(recovery: Recovery) -> dict[str, Change]:
    """Return what a roll-back on a packed ring ("When reconnecting", 2) set, whether that changed anything or not."""
    return _set_by(recovery, "packed.reconnect.2")


def unmarked(recovery: Recovery) -> list[Store]:
    """Return the stores that marked a slot available again (hardened)."""
    return recovery.stores_of("packed.reconnect.unmark")


def culprit(error: InflightError) -> str:
    """Return who broke the rule: of a region, whoever stored it, which a back-end has to answer for."""
    if isinstance(error, RegionError):
        return "back-end"
    return "driver" if isinstance(error, DriverError) else "front-end"


def _error(recovery: Recovery, error: InflightError, long: dict[str, Any]) -> dict[str, Any]:
    after = recovery.events[-1].step if recovery.events else None
    return {
        "rule": error.rule,
        "culprit": culprit(error),
        "where": {"after": after},
        **long,
    }


def _set_by(recovery: Recovery, step: str) -> dict[str, Change]:
    """Return what the stores of the steps that begin with ``step`` did to each field."""
    found: dict[str, Change] = {}
    for taken in recovery.stored_by:
        if taken.startswith(step):
            for store in recovery.stores_of(taken):
                found |= store.fields
    return found


def _changes(changes: dict[str, Change]) -> dict[str, Any] | None:
    return {name: {"from": change.old, "to": change.new} for name, change in changes.items()} or None


def _rolled_back(recovery: Recovery) -> dict[str, Any] | None:
    fields, slots = rolled_back(recovery), [store.entry for store in unmarked(recovery)]
    if not slots and all(change.old == change.new for change in fields.values()):
        return None
    hardened = {"unmarked": slots} if recovery.given.revision == "hardened" else {}
    return (_changes(fields) or {}) | hardened


def _position(recovery: Recovery) -> dict[str, int]:
    names = ("last_avail",) if recovery.given.ring == "split" else ("slot", "wrap_counter")
    return dict(zip(names, recovery.position, strict=True))


def _used_position(recovery: Recovery) -> dict[str, int]:
    """Return where the next used element goes, by name."""
    names = ("used_idx",) if recovery.given.ring == "split" else ("slot", "wrap_counter")
    return dict(zip(names, recovery.used_place, strict=True))


def _request(request: Resubmitted, ring: str, guest: GuestMemory | None) -> dict[str, Any]:
    found: dict[str, Any] = {"head" if ring == "split" else "entry": request.entry}
    if request.identity is not None:
        found["id"] = request.identity
    if request.counter is not None:
        found["counter"] = request.counter
    block = block_request(request.descriptors, guest) if guest is not None else None
    if block is not None:
        found["block"] = block
    return found | {"descriptors": [_descriptor(desc) for desc in request.descriptors]}


def _descriptor(desc: Descriptor) -> dict[str, Any]:
    found: dict[str, Any] = {"addr": desc.address, "len": desc.length, "flags": desc.flags}
    if desc.identity is not None:
        found["id"] = desc.identity
    if desc.table is not None:
        found["table"] = [_descriptor(inner) for inner in desc.table]
    return found


@lru_cache(maxsize=1 << 16)  # the largest ring has half as many
def _store_line(store: Store) -> str:
    return as_line(_store(store))


def _store(store: Store) -> dict[str, Any]:
    return {
        "step": store.step,
        "memory": store.memory,
        "where": store.place.where,
        "offset": store.offset,
        "width": store.width,
        "from": store.change.old,
        "to": store.change.new,
    }
