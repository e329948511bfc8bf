"""What the text leaves open for the split ring: the gaps, their alternatives, the default and its reason."""

from __future__ import annotations

from model.gaps import Alternative as A  # noqa: N817
from model.gaps import Gap
from model.split import alternatives as alt

__all__ = ["GAPS"]

_TEXT, _MERGED = ("v6", "merged"), ("merged",)


def _gap(name: str, question: str, reason: str, *alternatives: A, revisions: tuple[str, ...] = _TEXT) -> Gap:
    return Gap(name, question, alternatives, reason, revisions)


_GAPS = (
    _gap(
        "init-order",
        "who sets version and desc_num, and when?",
        "a region counts from the moment its version is set: everything else has to be there by then",
        A("version-last", "the back-end that first finds version 0 sets desc_num, used_idx, and then the version"),
        A("version-first", "the version is set before desc_num and used_idx", alt.version_first),
        A("before-hand-over", "the back-end sets them before the front-end gets the region", alt.before_hand_over),
    ),
    _gap(
        "fresh-used-idx",
        "what is used_idx of a fresh region when the ring has been in use?",
        "step 1 of reconnecting compares used_idx with the ring's: a fresh region must not look like an open batch",
        A("from-ring", "it is set from the used ring"),
        A("zero", "it stays 0, and reconnecting is run on the fresh region too", alt.left_zero),
        A("zero-and-skip", "it stays 0, and a fresh region is not reconnected", alt.skip_fresh),
    ),
    _gap(
        "counter-start",
        "what is the first value of the global counter?",
        "only differences count",
        A("zero", "0"),
        A("one", "1", lambda _: alt.counter(1)),
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
        "fetch-position",
        "where does fetching go on after reconnecting; what does SET_VRING_BASE mean then?",
        "requests leave the available ring by being fetched, and come out as used or are inflight",
        A("used-plus-inflight", "at used.idx plus the number of inflight entries, whatever SET_VRING_BASE says"),
        A("used-idx", "at used.idx, which is what QEMU's SET_VRING_BASE carries", lambda _: alt.position("used")),
        A("avail-idx", "at avail.idx", lambda _: alt.position("avail")),
    ),
    _gap(
        "used-element",
        "where among the steps is the used element written?",
        "virtio wants it there before used.idx says so; where before makes no difference",
        A("in-loop", "when the request joins the batch, before it is linked"),
        A("before-publish", "all of the batch's, just before used.idx", alt.before_publish),
        A("after-publish", "all of the batch's, just after used.idx", alt.after_publish),
    ),
    _gap(
        "batch-size",
        "is the difference of two idx values modulo something?",
        "idx values are 16-bit numbers that wrap, so their difference is one too; virtio leaves no doubt that used.idx "
        "counts requests, not descriptors",
        A("mod-65536", "modulo 65536, as the idx values are"),
        A("mod-queue-size", "modulo the size of the queue", lambda _: alt.batch_size("queue")),
        A("signed", "as C computes it in int: negative when used.idx has wrapped", lambda _: alt.batch_size("int")),
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
        A("any", "in any order", alt.any_order),
        revisions=("v6",),
    ),
    _gap(
        "ring-at-start",
        "does a new back-end look at the ring before it is kicked?",
        "the process before may have taken the kick and died",
        A("look", "it looks"),
        A("wait", "it waits for a kick", alt.wait_at_start),
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
        A("after-publish", "when used.idx is increased", alt.signal_after_publish),
    ),
    _gap(
        "event-fields",
        "what becomes of avail_event after a crash?",
        "a wish of the process before may be one that nobody will fulfil",
        A("rewritten", "the new back-end writes it when it finds nothing to do"),
        A("left", "it stays until the first kick", alt.fields_left),
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
        "what becomes of the region when the VM resets while there is no back-end?",
        "the seed: QEMU should retrieve a new one when the VM resets",
        A("renewed", "the front-end drops it and asks for a new one"),
        A("kept", "it is kept", alt.region_kept),
    ),
    _gap(
        "region-size",
        "may the region have another number of entries than the ring has descriptors?",
        "the seed: desc_num is equal to the virtqueue's size",
        A("equal", "they are equal"),
        A("larger", "the region has more"),
        A("smaller", "the region has fewer, and heads past its end are served untracked", alt.untracked),
    ),
)

GAPS: dict[str, Gap] = {gap.name: gap for gap in _GAPS}
"""The gaps, by name."""
