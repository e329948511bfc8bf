"""The gaps that both rings have, said once: the question, the reason for the default, what each choice means."""

from __future__ import annotations

from dataclasses import replace

from model.both import alternatives as alt
from model.gaps import Alternative as A  # noqa: N817
from model.gaps import Edits, Gap
from model.steps import Edit, Table
from model.terms import ModelError

__all__ = ["TEXT", "shared"]

TEXT, _MERGED = ("v6", "merged"), ("merged",)
"""The revisions that leave things open; those that do so of the counter."""


def _each_ring(table: Table) -> list[Edit]:
    raise ModelError(f"the {table.ring} ring has edits of its own for this choice, and did not say which")


def _gap(name: str, question: str, reason: str, *alternatives: A, revisions: tuple[str, ...] = TEXT) -> Gap:
    return Gap(name, question, alternatives, reason, revisions)


_GAPS = (
    _gap(
        "init-order",
        "who sets version and desc_num, and when?",
        "a region counts from the moment its version is set: everything else has to be there by then",
        A("version-last", "the back-end that first finds version 0 sets desc_num, used_idx, and then the version"),
        A("version-first", "the version is set before desc_num and used_idx", _each_ring),
        A("before-hand-over", "the back-end sets them before the front-end gets the region", _each_ring),
    ),
    _gap(
        "counter-start",
        "what is the first value of the global counter?",
        "only differences count",
        A("zero", "0"),
        A("one", "1", alt.counter_one),
        revisions=_MERGED,
    ),
    _gap(
        "counter-after-reconnect",
        "what is the global counter after reconnecting?",
        "what is fetched later has to come after what is inflight, at the next crash too",
        A("after-greatest", "one more than the greatest counter of the inflight entries"),
        A("zero", "it starts again at 0", alt.counter_zero),
        A("count", "the number of inflight entries", alt.counter_count),
        revisions=_MERGED,
    ),
    _gap(
        "counter-scope",
        "is the global counter one for each queue, or one for the device?",
        "queues do not order each other's requests, so one for each is enough",
        A("queue", "one for each queue"),
        A("device-greatest", "one for the device; recovery never lowers it", alt.device_greatest),
        A("device-last", "one for the device; the queue that recovers last sets it", alt.device_last),
        revisions=_MERGED,
    ),
    _gap(
        "fetch-in-batch",
        "may a request be fetched while a batch is open?",
        "a published head may come back at once, and clearing the batch would unmark it",
        A("never", "no: not from the first request of a batch until used_idx is set"),
        A("until-publish", "as long as used.idx has not been increased", alt.until_publish),
        A("always", "yes", alt.always),
    ),
    _gap(
        "resubmit-order",
        "in which order are inflight entries resubmitted?",
        "v6 says each; the order of the table is what a loop over it gives",
        A("table-order", "in the order of the table"),
        A("any", "in any order", _each_ring),
        revisions=("v6",),
    ),
    _gap(
        "ring-at-start",
        "does a new back-end look at the ring before it is kicked?",
        "the process before may have taken the kick and died",
        A("look", "it looks"),
        A("wait", "it waits for a kick", _each_ring),
    ),
    _gap(
        "signal-at-start",
        "does a new back-end notify the driver before it has anything new to tell?",
        "the process before may have published and died",
        A("always", "always"),
        A("on-mismatch", "if used_idx did not match", alt.signal_on_mismatch),
        A("never", "never", alt.never_signal),
    ),
    _gap(
        "signal-when",
        "when is the driver notified of a batch?",
        "the text does not say; either way recovery has to notify again",
        A("after-commit", "when used_idx is set"),
        A("after-publish", "when used.idx is increased", _each_ring),
    ),
    _gap(
        "event-fields",
        "what becomes of avail_event after a crash?",
        "a wish of the process before may be one that nobody will fulfil",
        A("rewritten", "the new back-end writes it when it finds nothing to do"),
        A("left", "it stays until the first kick", _each_ring),
    ),
    _gap(
        "recovery-start",
        "which message starts recovery?",
        "recovery belongs to the start of a process, not to a message that may come again",
        A("once", "the first kick fd of a queue on a connection"),
        A("every-kick", "every kick fd", alt.every_kick),
    ),
    _gap(
        "reset",
        "what becomes of the region when the VM resets?",
        "the seed: QEMU should retrieve a new one when the VM resets",
        A("renewed", "the front-end drops it and asks for a new one; a back-end forgets its own at RESET_DEVICE"),
        A("kept", "the front-end keeps it where there is no back-end", alt.region_kept),
        A("kept-alive", "a back-end that lives keeps its own at RESET_DEVICE", alt.region_kept_alive),
    ),
)

_BY_NAME = {gap.name: gap for gap in _GAPS}


def shared(name: str, *edits: Edits) -> Gap:
    """Give a gap that both rings have; `edits` are those of its alternatives, where a ring has its own."""
    gap = _BY_NAME[name]
    if not edits:
        return gap
    own = [replace(a, edits=e) for a, e in zip(gap.alternatives[1:], edits, strict=True)]
    return replace(gap, alternatives=(gap.alternatives[0], *own))
