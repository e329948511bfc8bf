"""What came after the chapter, on the split ring: what stops it, which base is answered, how it is reset."""

from __future__ import annotations

from typing import Any

from model.both import later
from model.both.alternatives import in_
from model.both.resetting import resets
from model.both.stopping import ANSWERED, Words, also, needs_stop
from model.both.words import DEAD, ENTRIES, FIRST, RUNNING, SIZE, WORKING
from model.gaps import Edits, Gap
from model.record import State, Var, assign_initial
from model.split.in_order import IN_ORDER
from model.split.serve import BETWEEN
from model.split.variables import VARS
from model.steps import Add, Declare, Edit, Procedure, Replace, Table
from model.terms import Term, all_of, count, ite, wrap

__all__ = ["LATER", "LOOKS"]

_new = Procedure("stop")


def drained(s: Any) -> Term:
    """All that was fetched is used: the next index to fetch is that of the used ring."""
    return s.fetch.last_avail == s.used.idx  # type: ignore[no-any-return]


@_new.step("stop.late", at=ANSWERED, to=ANSWERED, choice="head", text="gap after-answer", tags=("stores",),
           when=lambda s, i: all_of(i < ENTRIES, s.device.state[i] == WORKING))  # fmt: skip
def clear_late(s: Any, i: Term) -> None:
    """The device finishes a request after the answer, and its entry is cleared."""
    s.region.desc[i].inflight = 0
    s.device.state[i] = 0


LOOKS = "split.fetch.broken"
"""The step of a back-end that looks whether more is available than the ring holds."""


@_new.step(LOOKS, at=("take", "rest"), to="broken", text="virtio: no more than the ring's size is available",
           when=lambda s: wrap(s.fetch.seen_avail - s.fetch.last_avail, 16) > SIZE)  # fmt: skip
def take_for_broken(s: Any) -> None:
    """More is available than the ring holds: the back-end takes the driver for broken, and fetches no more."""


def untold(table: Table) -> list[Edit]:
    """Reset the ring behind the back of a back-end that looks."""
    first = table.step("split.fetch.1")

    def right(s: Any) -> Term:
        return all_of(first.when(s), wrap(s.fetch.seen_avail - s.fetch.last_avail, 16) <= SIZE)

    reset = resets(VARS, BETWEEN)["untold"](table)
    return [*reset, Replace(first.id, {"when": right}), Add(in_("fetch", take_for_broken))]


def _inflight(s: Any) -> Term:
    return count(ENTRIES, lambda h: s.region.desc[h].inflight == 1)


def by_base(*, before: bool, plus: bool) -> Edits:
    """Fetch from what SET_VRING_BASE says: the answer's base; after a crash used.idx, which is what QEMU sends."""

    def edits(table: Table) -> list[Edit]:
        kept = Var("base.idx", "driver", 16, "what SET_VRING_BASE will say", initial=FIRST)

        def keep(s: Any) -> None:
            s.base.idx = ite(s.recover.at == RUNNING, s.used.idx if before else s.fetch.last_avail, s.base.idx)

        def say(s: Any) -> None:
            s.base.idx = ite(s.stop.at == ANSWERED, s.base.idx, s.used.idx)

        def begin_anew(s: State) -> None:
            assign_initial(s, [kept.name])

        def find(s: Any) -> None:
            s.fetch.last_avail = wrap(s.base.idx + _inflight(s), 16) if plus else s.base.idx

        answer, starting = needs_stop(table), [step for step in table.of("recover") if DEAD in step.at]
        said = "Fetching goes on where SET_VRING_BASE says" + (", plus what is inflight." if plus else ".")
        return [
            Declare((kept,)), also(answer, keep), *(also(step, say) for step in starting),
            *(also(table.step(f"{who}.reset"), begin_anew) for who in ("driver", "connection")),
            Replace("split.position", {"do": find, "sentence": said}),
        ]  # fmt: skip

    return edits


LATER: dict[str, Gap] = later.later(
    later.Own(
        Words(BETWEEN, drained),
        clear_late,
        {
            "behind-taken": by_base(before=False, plus=False),
            "behind-plus": by_base(before=False, plus=True),
            "before-taken": by_base(before=True, plus=False),
            "before-plus": by_base(before=True, plus=True),
        },
        {**resets(VARS, BETWEEN), "untold": untold},
        IN_ORDER,
    )
)
"""The choices, by name."""
