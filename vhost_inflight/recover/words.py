"""Words that the stories of both rings are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vhost_inflight.recover.record import Change, Event, Recovery, Resubmitted

__all__ = [
    "Line",
    "among",
    "changed",
    "counted",
    "counter_line",
    "listed",
    "request",
    "resubmitted_lines",
    "signal_line",
    "waiting_line",
    "why_now",
]

_MANY: Final = 16  # of a longer list the first and the last are told


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story: the place in the text (or the gap that decides), and the sentence."""

    place: str
    sentence: str


def listed(numbers: Iterable[int | None]) -> str:
    """Write numbers as ``3, 1 and 0``; of many the first ones and the last one."""
    texts = [str(number) for number in numbers]
    if len(texts) > _MANY:
        return f"{', '.join(texts[: _MANY - 1])} ... {texts[-1]} ({len(texts)} in all)"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def counted(number: int, thing: str, things: str = "") -> str:
    """Write a number of things: ``1 entry``, ``2 entries``."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def among(numbers: Sequence[int | None], thing: str, things: str) -> str:
    """Write things by their numbers: ``entry 3``, ``entries 3 and 1``."""
    return f"{thing if len(numbers) == 1 else things} {listed(numbers)}"


def changed(changes: Mapping[str, Change]) -> str:
    """Write what fields were set to: ``used_idx from 5 to 7``, ``free_head is 2 already``."""
    return ", ".join(
        f"{name} is {change.new} already" if change.old == change.new else f"{name} from {change.old} to {change.new}"
        for name, change in changes.items()
    )


def request(found: Resubmitted) -> str:
    """Write what the device gets: how many descriptors, and those of an indirect table."""
    tables = [desc for desc in found.descriptors if desc.flags & 4]
    text = counted(len(found.descriptors), "descriptor")
    if tables and tables[0].table is None:
        return f"{text}, indirect; its table was not given"
    return f"{text}, indirect, {len(tables[0].table or ())} in its table" if tables else text


def why_now(recovery: Recovery, place: int) -> tuple[str, str]:
    """Return why a request is resubmitted at its place, and the gap that decides it if the text does not."""
    done = {found.entry for found in recovery.resubmitted[:place]}
    left = {mark.entry: mark.counter for mark in recovery.inflight if mark.entry not in done}
    entry = recovery.resubmitted[place].entry
    counter = left.pop(entry)
    if counter is None:
        return "in the order of the table, since v6 names none", "gap resubmit-order"
    same = [number for number, other in left.items() if other == counter]
    if same:
        return (
            f"its counter is {counter}, as that of {among(same, 'entry', 'entries')}, and nothing says which is first",
            "",
        )
    return f"it has the lowest counter{' that is left' if place else ''}, {counter}", ""


def counter_line(recovery: Recovery, event: Event) -> Line:
    """Tell the value of the global counter after recovery."""
    counters = [mark.counter or 0 for mark in recovery.inflight]
    choice = recovery.given.choices.counter_after_reconnect
    if choice == "after-greatest" and not counters:
        return Line(
            "gap counter-start", f"No entry is inflight: the global counter begins at {event.numbers['counter']}."
        )
    how = {
        "after-greatest": f"one more than the greatest of an inflight entry, {max(counters, default=0)}",
        "zero": "where it begins, whatever is inflight",
        "count": f"the number of inflight entries, {len(counters)}",
    }[choice]
    return Line("gap counter-after-reconnect", f"The global counter goes on at {event.numbers['counter']}: {how}.")


def resubmitted_lines(recovery: Recovery, number: int, place_in_text: str) -> Iterator[Line]:
    """Tell the first ``number`` requests that were resubmitted, each with the reason for its place."""
    ring = recovery.given.ring
    what = "head" if ring == "split" else "entry"
    shown = number if number <= _MANY else _MANY - 1
    for place in range(shown):
        found = recovery.resubmitted[place]
        reason, gap = why_now(recovery, place)
        name = f"{what} {found.entry}" if found.identity is None else f"entry {found.entry} (id {found.identity})"
        turn = " first" if place == 0 else " next"
        if len(recovery.inflight) == 1:
            turn, reason, gap = "", "nothing else is inflight", ""
        yield Line(
            gap or place_in_text,
            f"{name.capitalize()} is resubmitted{turn}: {reason}. The device gets {request(found)}.",
        )
    if number > shown:
        last = recovery.resubmitted[number - 1].entry
        order = "the table" if recovery.given.revision == "v6" else "their counters"
        yield Line(
            place_in_text, f"{number - shown} more follow in the order of {order}; the last one is {what} {last}."
        )


def signal_line(recovery: Recovery) -> Line:
    """Tell why the driver is notified."""
    choice = recovery.given.choices.signal_at_start
    return Line(
        "gap signal-at-start", f"The driver is notified ({choice}): it may have missed what was published last."
    )


def waiting_line(recovery: Recovery) -> Line:
    """Tell that nothing is looked for before a kick, which is the end of a recovery with ring-at-start=wait."""
    assert recovery.available is None, "a back-end that waits does not look"
    return Line("next", "The back-end waits for a kick, whatever the ring holds (gap ring-at-start=wait).")
