"""What came into the specification after the chapter on inflight buffers, as choices: the questions, said once."""

from __future__ import annotations

from dataclasses import dataclass

from model.both import in_order, stopping
from model.both.stopping import NEVER, Answer, Words
from model.gaps import Alternative as A  # noqa: N817
from model.gaps import Edits, Gap
from model.steps import Step

__all__ = ["PAIR", "Own", "later"]

PAIR = "skip-drain-under-skip-drain"
"""The pair under which what the text leaves open of suspending is judged."""

_STOPPED = (("stop", PAIR),)

_NOBODY, _HARDENED = ("none",), ("hardened",)
"""No revision of the text speaks of it; judged of the one that closes all gaps."""


@dataclass(frozen=True)
class Own:
    """A ring's own part: words, a step that clears late, where fetching goes on by a base, resets, in-order use."""

    words: Words
    clear: Step
    taken: dict[str, Edits]
    reset: dict[str, Edits]
    in_order: dict[str, Edits]


def _gap(name: str, question: str, reason: str, *alternatives: A, along: tuple[tuple[str, str], ...] = ()) -> Gap:
    return Gap(name, question, alternatives, reason, _NOBODY, _HARDENED, along)


def later(own: Own) -> dict[str, Gap]:
    """Give the choices of a ring, by name, in the order in which they are applied."""
    words = own.words
    base = {
        "behind-taken": "behind the recorded requests (last_avail), and fetching goes on there",
        "behind-plus": "behind the recorded requests, and fetching goes on there plus what is inflight",
        "before-taken": "before the recorded requests, and fetching goes on there",
        "before-plus": "before the recorded requests, and fetching goes on there plus what is inflight",
    }
    gaps = (
        _gap(
            "stop",
            "which generations of GET_VRING_BASE stop a ring?",
            "the chapter on inflight buffers speaks of a back-end that dies, not of one that is asked to stop",
            A(NEVER, "no ring is stopped"),
            *stopping.pairs(words),
        ),
        _gap(
            "stop-batch",
            "what becomes of a batch that is open when a back-end that suspends is asked to stop?",
            "between two procedures no batch is open",
            A("finished", "it is published, cleared and settled before the answer; recovery ends first, too"),
            A("left", "nothing: the answer comes at once, the next start finds what a crash there leaves",
              stopping.at_any_moment),
            A("taken-back", "what is being built is taken back before the answer; what is published is finished",
              stopping.takes_back(words)),
            along=_STOPPED,
        ),
        _gap(
            "after-answer",
            "what becomes of a request that the device completes after the answer?",
            "suspended: no store to guest memory, none to the region, no notification",
            A("nothing", "its completion is dropped; the device does not work on it when it is resubmitted"),
            A("supplies", "it is supplied as ever",
              stopping.another_answer(Answer(("fetch", "supply", "device")), words)),
            A("clears", "its entry is cleared, and nothing else",
              stopping.another_answer(Answer(("device",)), words, own.clear)),
            A("works-on", "the device works on while the same process is started again and resubmits it",
              stopping.another_answer(Answer(("device",), start_forgets=False), words)),
            along=_STOPPED,
        ),
        _gap(
            "stop-base",
            "which base does the answer give, and does fetching go on there?",
            "ring and region say it after a crash and after an answer alike; what the front-end says after a crash is "
            "no answer",
            A("unused", "whichever: fetching goes on where ring and region say"),
            *(A(name, meaning, own.taken[name]) for name, meaning in base.items()),
            along=_STOPPED,
        ),
        _gap(
            "stop-scope",
            "does an answer for one ring end what the device does for the others?",
            "a message stops one ring; the text says of the device that it is suspended when all rings are stopped",
            A("ring", "it does not: other rings go on"),
            A("device", "it does: what the device had of other rings is dropped, and nobody starts those again",
              stopping.whole_device(words)),
            along=_STOPPED,
        ),
        _gap(
            "stop-death",
            "what does a front-end do with a migration when its back-end dies before it has answered 11?",
            "GET_VRING_BASE has an answer; a back-end that crashes is the chapter on inflight buffers alone",
            A("starts-again", "it migrates no more: the next back-end finds the region, and is asked again"),
            A("moves", "it migrates all the same, and takes all for completed: the destination has a fresh region",
              stopping.moves_all_the_same),
            along=(("stop", "drain-under-drain"),),
        ),
        _gap(
            "ring-reset",
            "what becomes of a queue's share of the region when its driver resets the ring (VIRTIO_F_RING_RESET)?",
            "the requests of a ring that is reset are no one's; no message tells a back-end of it",
            A("not-offered", "the feature is not negotiated"),
            A("told", "the ring is stopped and its share begins anew, as with a new region", own.reset["told"]),
            A("kept", "the ring is stopped and started again, its share is kept", own.reset["kept"]),
            A("untold", "nobody tells the back-end, which goes on", own.reset["untold"]),
        ),
        _gap(
            "in-order",
            "how is a batch given back, and recovered, where in-order use is negotiated (VIRTIO_F_IN_ORDER)?",
            "the steps of the chapter have a used element for each request",
            A(in_order.NEVER, "the feature is not negotiated"),
            *(A(name, said, own.in_order[name]) for name, said in in_order.MEANINGS.items() if name in own.in_order),
        ),
    )  # fmt: skip
    return {gap.name: gap for gap in gaps}
