"""What the text leaves open for the split ring: the gaps, their alternatives, the default and its reason."""

from __future__ import annotations

from model.both.gaps import TEXT, shared
from model.gaps import Alternative as A  # noqa: N817
from model.gaps import Gap
from model.split import alternatives as alt

__all__ = ["GAPS"]


def _gap(name: str, question: str, reason: str, *alternatives: A, revisions: tuple[str, ...] = TEXT) -> Gap:
    return Gap(name, question, alternatives, reason, revisions)


_GAPS = (
    shared("init-order", alt.version_first, alt.before_hand_over),
    _gap(
        "fresh-used-idx",
        "what is used_idx of a fresh region when the ring has been in use?",
        "step 1 of reconnecting compares used_idx with the ring's: a fresh region must not look like an open batch",
        A("from-ring", "it is set from the used ring"),
        A("zero", "it stays 0, and reconnecting is run on the fresh region too", alt.left_zero),
        A("zero-and-skip", "it stays 0, and a fresh region is not reconnected", alt.skip_fresh),
    ),
    shared("counter-start"),
    shared("counter-after-reconnect"),
    shared("counter-scope"),
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
    shared("fetch-in-batch"),
    shared("resubmit-order", alt.any_order),
    shared("ring-at-start", alt.wait_at_start),
    shared("signal-at-start"),
    shared("signal-when", alt.signal_after_publish),
    shared("event-fields", alt.fields_left),
    shared("recovery-start"),
    shared("reset"),
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
