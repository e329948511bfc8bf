"""A recovery in words: a line for each step that matters, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Final

from refimpl.errors import RegionError
from vhost_inflight.recover import story_packed, story_split
from vhost_inflight.recover.answer import changed_gaps, culprit
from vhost_inflight.recover.doubt import Doubt, doubts
from vhost_inflight.recover.record import Event, Recovery
from vhost_inflight.recover.words import Line

__all__ = ["story"]

_WIDTH: Final = 116
_PLACE: Final = 29

Writer = Callable[[Recovery, list[Event]], Iterator[Line]]
_WRITERS: Final[Mapping[str, Mapping[str, Writer]]] = {"split": story_split.WRITERS, "packed": story_packed.WRITERS}


def story(recovery: Recovery, against: Sequence[Doubt] | None = None) -> str:
    """Return the story: each line begins with its place in the text, or with the gap that decides what is done.

    It ends with what the new back-end does next, or with the rule that the bytes break, and who broke it; then comes
    what speaks against it. ``against`` are its doubts, for who has them already.
    """
    given, against = recovery.given, doubts(recovery) if against is None else against
    chosen = ", ".join(f"{gap}={choice}" for gap, choice in changed_gaps(recovery).items())
    title = (
        f"A {given.ring} ring of {given.queue_size}, revision {given.revision}, {chosen or 'gaps at their defaults'}."
    )
    lines = [Line("", title)]
    for writer, events in groupby(recovery.events, lambda event: _WRITERS[given.ring].get(_group(event.step))):
        if writer is not None:
            lines += writer(recovery, list(events))
    if recovery.refused is not None:
        lines += _refusal(recovery)
    lines += [Line("doubt", f"{doubt.text[0].upper()}{doubt.text[1:]}.") for doubt in against]
    return "\n".join(text for line in lines for text in _wrapped(line))


def _group(step: str) -> str:
    """Return the name under which a step is told: those of one sentence of the text are told together."""
    if step.startswith("packed.reconnect.1c"):
        return "packed.reconnect.1c"
    if step.startswith("packed.reconnect.2"):
        return "packed.reconnect.2"
    if step.startswith("packed.reconnect.4"):
        return "packed.reconnect.4"
    return step.removesuffix(".look") if step.startswith("packed.reconnect.unmark") else step


def _refusal(recovery: Recovery) -> Iterator[Line]:
    """Tell which rule the bytes break, and who has to answer for it."""
    error = recovery.refused
    assert error is not None, "a recovery that was refused"
    whose = {
        "back-end": "the back-end that stored the region, or whoever changed it since",
        "driver": "the driver, which may write anything at any time and is not believed",
        "front-end": "the front-end, which gives the sizes and the memory",
    }
    yield Line("refused", f"{error.rule}. To blame: {whose[culprit(error)]}.")
    if isinstance(error, RegionError):
        yield Line("next", "The back-end serves nothing from this region and closes the connection.")
    else:
        yield Line("next", "The back-end closes the connection; a later one finds the region as it is now.")


def _wrapped(line: Line) -> list[str]:
    """Write a line: the place on the left, the sentence beside it."""
    if not line.place:
        return wrap(line.sentence, _WIDTH)
    indent = " " * _PLACE
    place = line.place.ljust(_PLACE)
    return wrap(line.sentence, _WIDTH, initial_indent=place, subsequent_indent=indent, break_on_hyphens=False)
