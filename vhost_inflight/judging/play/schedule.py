"""Schedules: read from a file, checked against a JSON Schema, and said what they need to be played.

A schedule holds choices and events, never stores or states: who plays it computes every byte.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from jsonschema import Draft202012Validator, ValidationError

from model import protocol
from model.properties import ALL
from model.protocol import Subject
from model.terms import ModelError
from refimpl.choices import Choices
from refimpl.documents import DocumentError, read_document, shown
from refimpl.errors import InflightError, UsageError
from refimpl.hooks import STEP_IDS_OF
from refimpl.names import no_such
from vhost_inflight.judging.play.recorded import named
from vhost_inflight.judging.play.stopping import is_played

__all__ = ["FORMAT", "NOTIFICATIONS", "Event", "Schedule", "ScheduleError", "load", "parse"]

FORMAT: Final = "vhost-inflight schedule 1"
"""What a schedule file says that it is."""

_IN_BOTH: Final = frozenset(
    {
        *(f"driver.kick.{n}" for n in ("look", "1", "none")),
        *(f"driver.sleep.{n}" for n in ("1", "again", "2")),
        "driver.wake",
    }
)
_BACK_END: Final = ("idle.arm", "idle.unarmed", "idle.look", "idle.wake", "notify.look", "notify.call", "notify.none")

NOTIFICATIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "split": _IN_BOTH | {f"split.{n}" for n in _BACK_END},
        "packed": _IN_BOTH
        | {f"packed.{n}" for n in (*_BACK_END, "idle.disarm", "notify.index")}
        | {"driver.sleep.index", "driver.wake.quiet"},
    }
)
"""By ring, the steps that a schedule without notifications leaves out; what does not depend on them is searched without
them."""

_LAST: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "split": frozenset({"driver.make.3", "split.supply.7"}),
        "packed": frozenset({"driver.make.head", "packed.supply.9a"}),
    }
)
"""By ring, steps after which a notification has to come sooner or later: a request is made, a batch is published."""


class ScheduleError(InflightError):
    """A file or a document is no schedule. Raised by `load` and `parse`, before anything is played."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: a step's id and its choice (a head), None where it has none."""

    step: str
    choice: int | None = None

    def text(self) -> str:
        """Write it as the id and the choice."""
        return self.step if self.choice is None else f"{self.step} {self.choice}"


@dataclass(frozen=True)
class Schedule:
    """The contents of a schedule file.

    ``ring`` is "split" or "packed". ``property`` is what it violates; None: nothing. ``witness`` is the property that
    is judged in it, not vacuously, and holds, or what else it is a witness of. ``entries`` is the number of the
    region's entries, ``first`` the index at which a split ring begins (a packed one has none). ``notifications``
    says whether the steps in NOTIFICATIONS are part of the schedule; where they are not, they happen unseen.
    ``repeats_from`` is the number of the event (from 1) from which the run goes round for ever, None if it does not.
    ``memory`` is the kind of memory that it runs on, as the file says it (proofs.orders.runs); None: one that keeps the
    order of the text.
    """

    ring: str
    revision: str
    gaps: Mapping[str, str]
    mutant: str | None
    property: str | None
    witness: str | None
    size: int
    entries: int
    first: int
    notifications: bool
    events: tuple[Event, ...]
    memory: Mapping[str, Any] | None = None
    repeats_from: int | None = None

    def round(self) -> str:
        """Say how the run goes round for ever."""
        here = f"after event {len(self.events)} the run repeats from event {self.repeats_from}"
        return f"{here}, and whoever could act in it does"

    def is_the_models_alone(self) -> bool:
        """Whether the model alone can be asked for it: choices that its revision does not leave open, or a profile."""
        return self.not_the_references() != ""

    def not_the_references(self) -> str:
        """Say why only the model plays it; nothing where the reference does."""
        try:
            subject = Subject.of(self.ring, self.revision, self._of_the_text())
        except ModelError:
            return ""
        if subject.profile is not None:
            return f"{self.revision} is a back-end of others"
        return f"{self.revision} does not leave open what this file chooses" if subject.is_reading else ""

    def choices(self) -> Choices:
        """Give the revision and the gaps' choices as the reference wants them. Raises UsageError for an unknown one."""
        return Choices.from_mapping(self._of_the_text(), self.revision, self.ring)

    def _of_the_text(self) -> dict[str, str]:
        """Give the choices without those that are of the world around a back-end."""
        return {gap: choice for gap, choice in self.gaps.items() if not is_played(gap, choice)}


@cache
def _validator() -> Draft202012Validator:
    text = files("vhost_inflight.judging.play").joinpath("schedule.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def _properties() -> tuple[str, ...]:
    """Give the names that a schedule may have."""
    schema: Any = _validator().schema
    return tuple(schema["properties"])


def load(path: Path) -> Schedule:
    """Read a schedule file, or a recorded run by its name.

    Raises ScheduleError, naming the file and the place in it; OSError when it cannot be read; UsageError for a name
    that does not exist.
    """
    try:
        document = read_document(named(path))
    except DocumentError as error:
        raise ScheduleError(str(error)) from error
    try:
        return parse(document)
    except ScheduleError as error:
        raise ScheduleError(f"{path}: {error}") from error


def parse(document: Any) -> Schedule:
    """Check the contents of a schedule file and give them a form. Raises ScheduleError that names the place."""
    _check_form(document)
    wanted = document.get("property")
    if wanted is not None and wanted not in ALL:
        raise ScheduleError(f"at property: {no_such('property', wanted, ALL)}")
    events = tuple(Event(*event) for event in document["schedule"])
    ring, mutant, memory = document["ring"], document.get("mutant"), document.get("memory")
    if mutant is not None and memory is not None:
        raise ScheduleError("at memory: a schedule is of a mutant or of a memory, not of both")
    known = _steps(ring, document["revision"], document.get("gaps", {}))
    for number, event in enumerate(events):
        if mutant is None and memory is None and event.step not in known:
            raise ScheduleError(f"at schedule[{number}]: {no_such('step', event.step, sorted(known))}")
    schedule = Schedule(
        ring=ring,
        revision=document["revision"],
        gaps=document.get("gaps", {}),
        mutant=mutant,
        property=wanted,
        witness=document.get("witness"),
        size=document["queue_size"],
        entries=document["region_size"],
        first=document["first_index"],
        notifications=document.get(
            "notifications", "drains" in (wanted, document.get("witness")) or _has_notifications(ring, events)
        ),
        events=events,
        memory=memory,
        repeats_from=document.get("repeats_from"),
    )
    if schedule.repeats_from is not None and (wanted != "drains" or schedule.repeats_from > len(events)):
        raise ScheduleError(
            "at repeats_from: only a run that violates drains goes round, and from one of its events on"
        )
    if schedule.is_the_models_alone():
        return schedule
    try:
        schedule.choices()
    except UsageError as unknown:
        raise ScheduleError(f"at revision or gaps: {unknown.rule}") from unknown
    return schedule


def _steps(ring: str, revision: str, gaps: Mapping[str, str]) -> Collection[str]:
    """Give the steps that a run may have: those of both ends, or of what the model alone has. Raises ScheduleError."""
    if revision not in protocol.profiles(ring) and not set(gaps) & set(protocol.later(ring)):
        return STEP_IDS_OF[ring] | {"crash"}
    try:
        return protocol.table(Subject.of(ring, revision, gaps)).steps
    except ModelError as unknown:
        raise ScheduleError(f"at revision or gaps: {unknown}") from unknown


def _check_form(document: Any) -> None:
    """Raise ScheduleError, naming the place, for a document of another form, such as those for other commands."""
    wanted = f'wanted is an object with "format": {shown(FORMAT)}'
    if not isinstance(document, dict):
        raise ScheduleError(f"no schedule, but {shown(document)}; {wanted}")
    said = document.get("format")
    if said != FORMAT:
        for_state = isinstance(said, str) and said.startswith("vhost-inflight state")
        for_device = bool(document) and document.keys() <= {"hold", "order", "batch", "idle"}
        hint = "; a state is for `recover`" if for_state else "; this is for `backend --schedule`" if for_device else ""
        what = f"format is {shown(said)}" if "format" in document else "format is missing"
        raise ScheduleError(f"no schedule: {what}; {wanted}{hint}")
    error = next(iter(sorted(_validator().iter_errors(document), key=lambda e: list(map(str, e.path)))), None)
    if error is not None:
        raise ScheduleError(f"at {_place(error.absolute_path)}: {_complaint(error)}")


def _complaint(error: ValidationError) -> str:
    """Say in a few words what is wrong at a place: a value may be as long as the file."""
    found, wanted, known = cast("Any", error.instance), cast("Any", error.validator_value), _properties()
    value = shown(found)
    match error.validator:
        case "required":
            return f"{next(name for name in wanted if name not in found)} is missing"
        case "additionalProperties":
            surplus = next(name for name in found if name not in known)
            return f"there is no {shown(surplus)}; there are {', '.join(known)}"
        case "type":
            kinds = " or ".join([wanted] if isinstance(wanted, str) else wanted)
            return f"{value} is not of type {kinds}"
        case "enum":
            return f"{value} is none of {', '.join(wanted)}"
        case "minimum" | "maximum":
            return f"{value} is {'less' if error.validator == 'minimum' else 'more'} than {wanted}"
        case _:
            return f"{value} is no event: an event is a step's id and, where it has one, its choice"


def _place(path: Iterable[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "the top"


def _has_notifications(ring: str, events: Iterable[Event]) -> bool:
    """Say whether a schedule that does not tell has the notifications' steps.

    A driver that made a request available reads next whether to kick, a back-end that supplied a batch whether to
    notify: where neither is to be seen though something came after, they were left out.
    """
    seen = {event.step for event in events}
    return bool(seen & NOTIFICATIONS[ring]) or not seen & _LAST[ring]
