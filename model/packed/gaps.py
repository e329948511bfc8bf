"""What the text leaves open for the packed ring: the gaps, their alternatives, the default and its reason."""

from __future__ import annotations

from dataclasses import replace

from model.both.gaps import TEXT, shared
from model.gaps import Alternative as A  # noqa: N817
from model.gaps import Gap
from model.packed import alternatives as alt
from model.packed import alternatives_supply as supply
from model.packed.event_index import by_index

__all__ = ["GAPS"]


def _gap(name: str, question: str, reason: str, *alternatives: A, revisions: tuple[str, ...] = TEXT) -> Gap:
    return Gap(name, question, alternatives, reason, revisions)


_GAPS = (
    shared("init-order", alt.version_first, alt.before_hand_over),
    _gap(
        "free-list",
        "what are the links of the first free list, and where does it end?",
        "the steps of fetching follow next from the first request on, and reconnecting walks to an end",
        A("linked", "next of entry i is i + 1, and desc_num is the end"),
        A("zeroed", "next of every entry is 0, as in a zeroed region", alt.zeroed),
    ),
    _gap(
        "first-wrap",
        "what are the first wrap counters?",
        "virtio's begin with 1",
        A("one", "1, as virtio's"),
        A("zero", "0, as in a zeroed region", alt.wrap_zero),
    ),
    _gap(
        "fresh-used-idx",
        "where are used_idx and the wrap counters of a fresh region, when the ring has been in use?",
        "nothing in the ring says it; SET_VRING_BASE does, where GET_VRING_BASE had drained the ring",
        A("from-base", "at the used slot and wrap counter of SET_VRING_BASE"),
        A("zero", "at slot 0 with the first wrap counters, as on a new ring", alt.left_zero),
    ),
    shared("counter-start"),
    shared("counter-after-reconnect"),
    shared("counter-scope"),
    _gap(
        "fetch-position",
        "where does fetching go on after reconnecting; what does SET_VRING_BASE mean then?",
        "slots leave the ring by being fetched, and come out as used or are inflight",
        A("used-plus-inflight", "at the used slot plus the slots of the inflight chains, whatever SET_VRING_BASE says"),
        A("used-position", "at the used slot", alt.used_position),
        A("base", "where a SET_VRING_BASE of slot 0 and wrap counter 1 says, as QEMU sends it", alt.base),
    ),
    _gap(
        "flags-order",
        "in which order are the flags of a batch updated?",
        "the driver may see all that is marked used as soon as the first slot is",
        A("first-last", "the first slot's last, so that the batch becomes visible at once"),
        A("in-order", "from the first slot to the last", supply.forwards),
    ),
    _gap(
        "used-element",
        "where among the steps are a used element's id and len written?",
        "virtio wants them there before the flags say so; where before makes no difference",
        A("in-loop", "when the request joins the batch, to the next used slot"),
        A("with-flags", "just before its flags", supply.with_flags),
    ),
    _gap(
        "used-slot",
        "to which slot is a used element written?",
        "virtio's driver reads used elements from its next used slot on, whatever request they are of",
        A("next", "to the next used slot, in the order in which requests are given back"),
        A("own", "to the slot that the request was fetched from, as long as the process knows it", supply.own_slot),
    ),
    _gap(
        "batch-size",
        "does the size of the batch count requests or descriptors?",
        "virtio skips as many slots as the chain had descriptors",
        A("descriptors", "descriptors: the slots of all chains"),
        A("requests", "requests", supply.requests),
    ),
    _gap(
        "flags-compare",
        "how many bits does 'equal to the calculated flags' compare?",
        "a chain may have other flags; used and made available again differ from available in USED",
        A("both", "AVAIL and USED"),
        A("used", "USED alone", lambda _: alt.compare("used")),
        A("avail", "AVAIL alone", lambda _: alt.compare("avail")),
        A("whole", "all, so that a chain or a buffer to write to differs", lambda _: alt.compare("whole")),
    ),
    _gap(
        "assignments",
        "are several assignments in one sentence one store or several?",
        "fields that are not neighbours, of different widths: no processor stores them at once",
        A("several", "one store for each, in the order of the sentence"),
        A("one", "one store for all", alt.one),
    ),
    shared("fetch-in-batch"),
    shared("resubmit-order", alt.any_order),
    shared("ring-at-start", alt.wait_at_start),
    shared("signal-at-start"),
    shared("signal-when", alt.signal_after_publish),
    shared("event-fields", alt.fields_left),
    Gap(
        "event-kind",
        "does the driver ask to be notified of every used element, or of one?",
        (
            A("flags", "of every one, by its event flags"),
            A("index", "of one, by its slot and wrap counter in off_wrap (with VIRTIO_F_RING_EVENT_IDX)", by_index),
        ),
        "every driver can: event indexes have to be negotiated; Linux does",
    ),
    shared("recovery-start"),
    shared("reset"),
    _gap(
        "region-size",
        "may the region have another number of entries than the ring has descriptors?",
        "the seed: desc_num is equal to the virtqueue's size",
        A("equal", "they are equal"),
        A("larger", "the region has more"),
        A(
            "smaller",
            "the region has fewer: a request waits until its chain finds as many free entries",
            alt.whole_chains,
        ),
    ),
    _gap(
        "settle",
        "how are old_used_idx and old_used_wrap_counter moved together?",
        "plain stores of the fields' own widths are what every implementer has",
        A("plain", "not at all: free_head tells that a batch is being settled"),
        A("wide", "by one store of the eight bytes that hold them", alt.wide),
        revisions=("hardened",),
    ),
)


def _read_in_hardened(gap: Gap) -> Gap:
    """Have each choice that `merged` leaves open, and `hardened` does not, judged of `hardened`: a reading of it."""
    closed = gap.open_in("merged") and not gap.open_in("hardened")
    return replace(gap, judged=("hardened",)) if closed else gap


GAPS: dict[str, Gap] = {gap.name: _read_in_hardened(gap) for gap in _GAPS}
"""The gaps, by name."""
