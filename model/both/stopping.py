"""Stopping a ring: three generations of GET_VRING_BASE, as edits of either ring's table.

The front-end asks for it at any moment; the back-end takes a message between two procedures, answers with where the
ring is, and works no more on it until it is started again: by itself, by another process with the same region, or at
the destination of a migration with a copy of region and guest memory. For what this model says these three are one:
what the process knew of the ring is gone, what memory has is there. What a source still writes after its copy was taken
is in nobody's memory. Where the front-end believes that all is complete, a migration does not bring the region along
(`stop.move`): the destination asks for a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from model.both.words import DEAD, FINISHED, IN_BATCH, RUNNING
from model.gaps import Alternative as A  # noqa: N817
from model.gaps import Edits
from model.properties import Judgement
from model.record import State, Var, assign_initial
from model.steps import Add, Declare, Edit, Guard, GuardOf, HistoryOf, Procedure, Replace, Step, Table
from model.terms import ModelError, Term, all_of, any_of, ite, negate

__all__ = [
    "ANSWERED",
    "ASKED",
    "GENERATIONS",
    "NEVER",
    "PAIRS",
    "STARTED",
    "SUSPENDED",
    "TAKEN_BACK",
    "Answer",
    "Meeting",
    "Words",
    "also",
    "another_answer",
    "at_any_moment",
    "meet",
    "moves_all_the_same",
    "needs_stop",
    "pairs",
    "stopped",
    "takes_back",
    "whole_device",
]  # fmt: skip

GENERATIONS: tuple[str, ...] = ("drain", "may-suspend", "skip-drain")
"""Of a back-end, and of a front-end: as always, since January 2026 (bit 20), since September 2026 (bits 20 and 23)."""

NEVER, STARTED, ASKED, ANSWERED = "never", "running", "asked", "answered"

Effect = Callable[..., None]


@dataclass(frozen=True)
class Meeting:
    """What comes of a back-end of one generation under a front-end of another.

    `message` stops a ring; `suspends`: what is in flight then stays recorded in the region, it is not completed;
    `believes`: the front-end takes all for completed, so the region does not come along with a migration.
    """

    message: int
    suspends: bool
    believes: bool


def meet(back_end: str, front_end: str) -> Meeting:
    """Give what comes of the features that both have, INFLIGHT_SHMFD (12) among them."""
    bit_20 = "drain" not in (back_end, front_end)
    bit_23 = back_end == front_end == "skip-drain"
    return Meeting(
        message=45 if bit_23 else 11,
        suspends=bit_23 or (bit_20 and back_end == "may-suspend"),
        believes=not bit_23 and not (bit_20 and front_end == "may-suspend"),
    )


PAIRS: dict[str, Meeting] = {f"{b}-under-{f}": meet(b, f) for b, f in product(GENERATIONS, repeat=2)}
"""The nine pairs, by name: a back-end under a front-end."""


def not_answered(s: Any, *_: Term) -> Term:
    """The back-end has not answered, or has been started since."""
    return s.stop.at != ANSWERED  # type: ignore[no-any-return]


SUSPENDED = Judgement("suspended", "stores", True, not_answered)
"""Judged at each store of the back-end to guest memory, to the region and to an eventfd, of rings that are stopped."""

_stop = Procedure("stop")


@_stop.step("stop.ask", at=STARTED, to=ASKED, text="vhost-user: GET_VRING_BASE, or GET_VRING_BASE_SKIP_DRAIN",
            when=lambda s: s.recover.at != DEAD)  # fmt: skip
def ask(s: Any) -> None:
    """The front-end asks the back-end to stop the ring, at any moment."""


@dataclass(frozen=True)
class Words:
    """What a ring has to say of it.

    `between`: the labels of fetch at which no request is in hand. `drained`: whether all that was fetched is used.
    `variables`: what the front-end keeps of the answer; `answer` stores that. `begin`: exchanges, in steps that
    begin a fresh region, where the ring was when it was made for what the front-end keeps. `undo`: takes the batch that
    is being built out of the region again.
    """

    between: tuple[str, ...]
    drained: Guard
    variables: tuple[Var, ...] = ()
    answer: Effect = lambda _: None
    begin: Edits = lambda _: []
    undo: Effect = lambda _: None


def also(step: Step, effect: Effect) -> Replace:
    """Let a step do something besides."""

    def do(s: State, *args: Term) -> None:
        effect(s)
        step.do(s, *args)

    return Replace(step.id, {"do": do})


def _and(step: Step, guard: Guard) -> Replace:
    return Replace(step.id, {"when": lambda s, *args: all_of(step.when(s, *args), guard(s))})


def _running(s: Any) -> Term:
    return s.stop.at == STARTED  # type: ignore[no-any-return]


def _start(s: Any) -> None:
    s.stop.at = STARTED


def _between(words: Words) -> Guard:
    """Say that no request is in hand."""
    return lambda s: any_of(*(s.fetch.at == label for label in words.between))


def between_procedures(words: Words) -> Guard:
    """Say that the back-end takes a message: recovery has ended, no request is in hand, no batch is open."""

    def holds(s: Any) -> Term:
        return all_of(s.recover.at == RUNNING, _between(words)(s), s.supply.at == "idle")

    return holds


@dataclass(frozen=True)
class Answer:
    """What an answer leaves alone of what the process knows (by procedure), and whether the next start ends it."""

    leaves: tuple[str, ...] = ()
    start_forgets: bool = True


def _forgotten(table: Table, leaves: Iterable[str] = ()) -> list[str]:
    left = tuple(f"{name}." for name in leaves)
    return [v.name for v in table.vars.values() if v.kind == "volatile" and not v.name.startswith((*left, "stop."))]


def _answer(table: Table, words: Words, suspends: bool) -> Step:
    """Give the step that answers, of a table that has the variables."""
    taken = between_procedures(words)
    when = taken if suspends else lambda s: all_of(taken(s), words.drained(s))

    @_stop.step("stop.answer", at=ASKED, to=ANSWERED, text="vhost-user: the reply says where the ring is", when=when)
    def answer(s: State) -> None:
        """The back-end answers, between two procedures, and has nothing to do with the ring from here on."""
        words.answer(s)
        assign_initial(s, _forgotten(table))

    if suspends:
        return answer
    return replace(answer, sentence=_DRAINED)


_DRAINED = "All that was fetched is used: the back-end answers, and has nothing to do with the ring from here on."


def _move(table: Table) -> Step:
    @_stop.step("stop.move", at=ANSWERED, to=ANSWERED, text="vhost-user: migration, the region left behind", world=True)
    def move(s: State) -> None:
        """The ring goes on elsewhere, with a fresh region: the front-end believes that all is complete."""
        assign_initial(s, [v.name for v in table.vars.values() if v.kind == "region"])

    return move


def stopped(words: Words, meeting: Meeting) -> Edits:
    """Let a ring be stopped and started again."""

    def edits(before: Table) -> list[Edit]:
        where = Var("stop.at", "volatile", 0, "label: running, asked, answered", initial=STARTED)
        declare = Declare((where, *words.variables))
        table = declare.apply(before)
        kept = [v.name for v in words.variables]

        def begin_anew(s: State) -> None:
            assign_initial(s, kept)

        def begin_and_start(s: State) -> None:
            begin_anew(s)
            _start(s)

        fetching = [step for step in table.of("fetch") if set(step.at) & set(words.between)]
        starting = [step for step in table.of("recover") if DEAD in step.at]
        changed: list[Edit] = [
            declare, Add(ask), Add(_answer(table, words, meeting.suspends)),
            HistoryOf("stop.answer", table.history["crash"]),
            *([Add(_move(table))] if meeting.believes else []),
            *(_and(step, _running) for step in fetching), *(also(step, _start) for step in starting),
            also(table.step("crash"), _start), also(table.step("driver.reset"), begin_anew),
            also(table.step("connection.reset"), begin_and_start),
            *words.begin(table),
        ]  # fmt: skip
        return [GuardOf("stop", lambda _: all_of()), *changed, *_storing(table)]

    return edits


def _storing(table: Table) -> list[Edit]:
    """Tag each step of the back-end that stores to what others see, for the property `suspended`."""
    storing = [s for p in ("recover", "fetch", "supply") for s in table.of(p) if table.record(s).stores(table.vars)]
    return [Replace(step.id, {"tags": step.tags | {"stores"}}) for step in storing]


def pairs(words: Words) -> tuple[A, ...]:
    """Give the nine pairs as what may be chosen."""

    def meaning(meeting: Meeting) -> str:
        does = "suspends" if meeting.suspends else "drains"
        takes = "believes that all is complete" if meeting.believes else "brings the region along"
        return f"message {meeting.message} {does}, and the front-end {takes}"

    return tuple(A(name, meaning(meeting), stopped(words, meeting)) for name, meeting in PAIRS.items())


def needs_stop(table: Table) -> Step:
    """Give the step that answers; raise `ModelError` where no ring is stopped."""
    if "stop.answer" not in table.steps:
        raise ModelError("this choice speaks of a ring that is stopped: choose a pair of generations too (stop=...)")
    return table.step("stop.answer")


def at_any_moment(table: Table) -> list[Edit]:
    """Answer at once, whatever is in hand or open: nothing is finished first."""
    if needs_stop(table).sentence == _DRAINED:
        raise ModelError(
            "a back-end that drains finishes what is in flight: choose a pair of generations that suspends"
        )
    return [Replace("stop.answer", {"when": lambda _: all_of(), "sentence": "The back-end answers at once."})]


TAKEN_BACK = "taken back"
"""The label of supply at which a batch was taken back, and the answer comes next."""


def takes_back(words: Words) -> Edits:
    """Take a batch that is being built back before the answer: what is in it stays in flight, finished or not."""

    def edits(table: Table) -> list[Edit]:
        if needs_stop(table).sentence == _DRAINED:
            raise ModelError(
                "a back-end that drains finishes what is in flight: choose a pair of generations that suspends"
            )

        @_stop.step("stop.back", at=ASKED, to=ASKED, text="gap stop-batch",
                    when=lambda s: all_of(s.recover.at == RUNNING, s.supply.at == "more"))  # fmt: skip
        def back(s: Any) -> None:
            """The batch that is being built is taken back: each of its requests is in flight as before."""
            words.undo(s)
            s.device.state.each(lambda h: ite(s.device.state[h] == IN_BATCH, FINISHED, s.device.state[h]))
            s.supply.at = TAKEN_BACK
            s.supply.open = 0
            s.supply.count = 0

        taken = between_procedures(words)

        def answers(s: Any) -> Term:
            return any_of(taken(s), all_of(s.recover.at == RUNNING, _between(words)(s), s.supply.at == TAKEN_BACK))

        tags = frozenset({"stores"} if table.record(back).stores(table.vars) else ())
        building = [step for step in table.of("supply") if "more" in step.at]
        said = "The back-end answers between two procedures, or when it has taken a batch back."
        return [
            Add(replace(back, tags=tags)), Replace("stop.answer", {"when": answers, "sentence": said}),
            *(_and(step, lambda s: negate(all_of(s.stop.at == ASKED, s.supply.at == "more"))) for step in building),
        ]  # fmt: skip

    return edits


def whole_device(words: Words) -> Edits:
    """Let the answer for another ring of the device end what the device does for this one."""

    def edits(table: Table) -> list[Edit]:
        needs_stop(table)
        work = [v.name for v in table.vars.values() if v.kind == "volatile" and v.name.startswith("device.")]

        @_stop.step("stop.other", at=STARTED, to=STARTED, text="vhost-user: the reply for another ring", world=True,
                    when=between_procedures(words))  # fmt: skip
        def other(s: State) -> None:
            """Another ring of the device is stopped, and the device works on nothing any more, this ring's included."""
            assign_initial(s, work)

        return [Add(other)]

    return edits


_GONE = Var("stop.gone", "driver", 8, "the back-end died before it answered, and the front-end waits no more")


def moves_all_the_same(table: Table) -> list[Edit]:
    """Let the front-end go on with its migration, without the region, when a back-end that drains has died."""
    if needs_stop(table).sentence != _DRAINED:
        raise ModelError(
            "this pair leaves the region behind, and loses requests by itself (bit-20), without a back-end that dies: "
            "nothing more is judged with it; choose a pair that drains (stop=...)"
            if "stop.move" in table.steps
            else "where this back-end suspends the region comes along: choose a pair that drains (stop=...)"
        )
    declare = Declare((_GONE,))
    crash = declare.apply(table).step("crash")
    starting = [step for step in table.of("recover") if DEAD in step.at]

    def dies(s: State) -> None:
        s.stop.gone = ite(s.stop.at == ASKED, 1, 0)
        crash.do(s)

    def waits_again(s: State) -> None:
        s.stop.gone = 0

    @_stop.step("stop.move.dead", at=STARTED, to=STARTED, text="vhost-user: migration of a dead back-end's ring",
                world=True, when=lambda s: all_of(s.recover.at == DEAD, s.stop.gone == 1))  # fmt: skip
    def move(s: State) -> None:
        """The back-end died before it answered; the ring goes on elsewhere all the same, with a fresh region."""
        assign_initial(s, [v.name for v in table.vars.values() if v.kind == "region"])
        s.stop.gone = 0

    begun = (also(table.step(name), waits_again) for name in ("driver.reset", "connection.reset"))
    return [declare, Replace("crash", {"do": dies}), Add(move), *begun, *(also(step, waits_again) for step in starting)]


def _goes_on(s: Any) -> None:
    """What the device had is not over with the answer."""
    s.history.last_given = -1
    s.history.in_order = 1
    s.history.undisturbed = 1


def another_answer(how: Answer, words: Words, *steps: Step) -> Edits:
    """Let the answer leave something going on."""

    def edits(table: Table) -> list[Edit]:
        needs_stop(table)
        starting = [step for step in table.of("recover") if DEAD in step.at]
        left = [v for v in _forgotten(table) if v not in _forgotten(table, how.leaves)]

        def answer(s: State) -> None:
            words.answer(s)
            assign_initial(s, _forgotten(table, how.leaves))

        def forget(s: State) -> None:
            assign_initial(s, left)

        ended = [e for s in starting for e in (also(s, forget), HistoryOf(s.id, table.history["crash"]))]
        return [
            Replace("stop.answer", {"do": answer}), *(Add(step) for step in steps),
            *([HistoryOf("stop.answer", _goes_on)] if left else []), *(ended if how.start_forgets and left else ()),
        ]  # fmt: skip

    return edits
