"""What a back-end did with the bytes of an input, held against what it had to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from refimpl.documents import shown
from vhost_inflight.recover.given import GivenError
from vhost_inflight.recover.record import Recovery, Resubmitted

__all__ = ["Fault", "faults"]

_FIELDS: Final = ("resubmitted", "next", "counter", "refused")
_POSITION: Final[Mapping[str, tuple[str, ...]]] = {"split": ("last_avail",), "packed": ("slot", "wrap_counter")}


class Fault(NamedTuple):
    """One thing that a back-end did wrong: its kind, a sentence, and the head or entry that it is about."""

    kind: str
    text: str
    entry: int | None = None


def faults(recovery: Recovery, did: Any) -> list[Fault]:
    """Return what a back-end did wrong, by what it says that it did; nothing, if it did what it had to do.

    ``did``: ``resubmitted`` is a list of heads (split), or of entries or objects with ``entry`` or ``id`` (packed), in
    order; ``next`` where it goes on to fetch, as the answer has it in ``fetch_position``, or on a split ring the index;
    ``counter`` that of the next request; ``refused`` is true, instead of all of these, if it gave up. What is left out
    is not judged. Raises GivenError for a document of another form.
    """
    _check(did)
    if recovery.refused is not None or did.get("refused", False):
        if (recovery.refused is not None) == did.get("refused", False):
            return []
        rule = f"it goes on, but the bytes break a rule: {recovery.refused}" if recovery.refused else ""
        return [Fault("refused", rule or "it gives up, but the bytes break no rule")]
    found = list(_of_requests(recovery, _entries(recovery, did["resubmitted"]))) if "resubmitted" in did else []
    if "next" in did:
        found += _of_position(recovery, did["next"])
    if "counter" in did and recovery.counter is not None and did["counter"] != recovery.counter:
        found.append(Fault("counter", f"the next request gets counter {did['counter']}, and not {recovery.counter}"))
    return found


def _check(did: Any) -> None:
    """Check the form of what a back-end says that it did."""
    if not isinstance(did, dict):
        raise GivenError(f"{shown(did)} is no object")
    for name in did:
        if name not in _FIELDS:
            raise GivenError(f"there is no {shown(name)} here; there are: {', '.join(_FIELDS)}")
    if not did:
        raise GivenError(f"nothing is said of what was done; there are: {', '.join(_FIELDS)}")
    if not isinstance(did.get("refused", False), bool):
        raise GivenError(f"at refused: {shown(did['refused'])} is neither true nor false")
    if did.get("refused") and len(did) > 1:
        raise GivenError("at refused: who gave up did nothing else")
    if not isinstance(did.get("resubmitted", []), list):
        raise GivenError(f"at resubmitted: {shown(did['resubmitted'])} is no list")
    if not _is_number(did.get("counter", 0)):
        raise GivenError(f"at counter: {shown(did['counter'])} is no whole number")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _entries(recovery: Recovery, told: Sequence[Any]) -> list[int]:
    """Return heads, or entries, of what a list names: a buffer id that nothing has to resubmit is no entry, -1 - id."""
    of_id = {request.identity: request.entry for request in recovery.resubmitted}
    found = []
    for number, one in enumerate(told):
        if _is_number(one):
            found.append(one)
        elif isinstance(one, dict) and _is_number(one.get("head", one.get("entry"))):
            found.append(one.get("head", one.get("entry")))
        elif isinstance(one, dict) and _is_number(one.get("id")):
            found.append(of_id.get(one["id"], -1 - one["id"]))
        else:
            raise GivenError(f"at resubmitted[{number}]: {shown(one)} names no request, by head, entry or id")
    return found


def _of_requests(recovery: Recovery, did: Sequence[int]) -> Iterator[Fault]:
    """Yield what is wrong with the requests that were given to the device, and with their order."""
    right = {request.entry: request for request in recovery.resubmitted}
    thing = "head" if recovery.given.ring == "split" else "entry"
    for entry, times in Counter(did).items():
        name = f"{thing} {entry}" if entry >= 0 else f"id {-1 - entry}"
        number = entry if entry >= 0 else None
        if entry not in right:
            yield Fault("too-many", f"{name} went to the device, and is not to be resubmitted", number)
        elif times > 1:
            yield Fault("twice", f"{name} went to the device {times} times", number)
    for entry in right:
        if entry not in did:
            yield Fault("missing", f"{thing} {entry} did not go to the device: it is lost", entry)
    yield from _of_order(recovery, [right[entry] for entry in did if entry in right], thing)


def _of_order(recovery: Recovery, did: Sequence[Resubmitted], thing: str) -> Iterator[Fault]:
    """Yield the first request that went to the device before one that was made available earlier."""
    if not recovery.given.choices.counted:
        return
    for first, second in pairwise(did):
        if (first.counter or 0) > (second.counter or 0):
            text = f"{thing} {first.entry} (counter {first.counter}) went to the device before {thing} {second.entry}"
            yield Fault("order", f"{text} (counter {second.counter})", second.entry)
            return


def _of_position(recovery: Recovery, told: Any) -> Iterator[Fault]:
    """Yield a fault if fetching goes on elsewhere."""
    names = _POSITION[recovery.given.ring]
    if _is_number(told) and len(names) == 1:
        told = {names[0]: told}
    if not isinstance(told, dict) or set(told) != set(names) or not all(map(_is_number, told.values())):
        raise GivenError(f"at next: {shown(told)} is no object with {' and '.join(names)}, each a number")
    did = tuple(told[name] for name in names)
    if did != recovery.position:
        here, there = (", ".join(f"{n} {v}" for n, v in zip(names, at, strict=True)) for at in (did, recovery.position))
        yield Fault("position", f"it fetches on at {here}, and not at {there}")
