"""What back-ends of others do on the packed ring."""

from __future__ import annotations

from model.profiles import packed_edits as edit
from model.profiles.profile import Difference, Profile, by_name

__all__ = ["PROFILES"]

_CHECK = "vhost_check_queue_inflights_packed"
_SET = "rte_vhost_set_inflight_desc_packed"
_LAST = "rte_vhost_set_last_inflight_io_packed"

_LIBRARY = (
    Difference(
        "made-before-hand-over", "vhost_user_get_inflight_fd, vhost_user_set_inflight_fd",
        "free list and wrap counters of 1 are made with the buffer; the used slot is 0, whatever SET_VRING_BASE says",
        (("fresh-used-idx", "zero"),), edit.made_before_hand_over,
    ),
    Difference("one-at-a-time", _LAST, "a batch has one request", (("batches", "one"),)),
    Difference(
        "mark-instead-of-flags", _CHECK,
        "whether a batch was published is told by the mark of the entry whose number is that of the slot old_used_idx",
        edits=edit.mark_instead_of_flags,
    ),
    Difference(
        "indexes-first", _CHECK, "committing stores old_used_idx and its wrap counter first, and old_free_head last",
        edits=edit.indexes_first,
    ),
    Difference(
        "roll-back-unsubmitted-alone", _CHECK,
        "where used_idx is old_used_idx nothing is rolled back: not free_head, nor used_wrap_counter",
        edits=edit.roll_back_unsubmitted_alone,
    ),
    Difference("free-not-cleared", _CHECK, "no mark of a free entry is cleared", edits=edit.free_not_cleared),
    Difference(
        "position-from-old", "rte_vhost_get_vring_base_from_inflight",
        "positions are those of the old fields; from there the process counts by itself, and the region by itself",
        edits=edit.position_from_old,
    ),
    Difference(
        "last-each-time", _SET, "num comes before last, and last is stored for each descriptor",
        edits=edit.last_each_time,
    ),
    Difference(
        "from-old-free-head", _SET, "a chain begins at old_free_head; free_head is not read",
        edits=edit.from_old_free_head,
    ),
    Difference(
        "used-idx-in-two-stores", _LAST, "used_idx is past its end for a moment where it wraps",
        edits=edit.used_idx_in_two_stores,
    ),
)  # fmt: skip
"""What the library itself does, with every program on it."""

_BESIDES = (
    "With no free entry a request is served, and settled under another's (0, or SPDK's last one); here it waits.",
    "A chain that finds too few entries goes on at desc[desc_num], and then where its next leads; here it waits.",
    "`intact` is not judged of each copy here, but of whole chains, when they are fetched and when they are gathered.",
    "An entry that two requests came to stands for one of them here; the program holds both, each with its id.",
    "A position past the ring's end is read from behind the ring; here nothing more happens.",
    "Every SET_VRING_KICK recovers, as long as nothing was found inflight; here the first alone.",
)


def _next_kept(function: str) -> Difference:
    return Difference("next-kept", function, "flags of a used slot keep their NEXT", edits=edit.next_kept)


_NO_SIGNAL = Difference(
    "no-signal-at-start", "vhost_user_set_vring_kick", "nobody notifies the driver at the start",
    (("signal-at-start", "never"),),
)  # fmt: skip

_HARMFUL = frozenset({
    "made-before-hand-over", "mark-instead-of-flags", "indexes-first", "roll-back-unsubmitted-alone",
    "free-not-cleared", "position-from-old", "from-old-free-head", "no-signal-at-start",
})  # fmt: skip
"""What a run breaks even if everything else is mended."""

_UNPROVED = frozenset({"last-each-time", "used-idx-in-two-stores", "next-kept"})
"""What does no harm that is known once the rest is mended; the invariant does not speak of it, so it goes, too."""

_LIBRTE_VHOST = Profile(
    "librte_vhost", "packed", "DPDK's librte_vhost, under a program with the order of calls of examples/vhost_blk",
    "DPDK 22.11 (26.07 has the same): lib/vhost/vhost_user.c, lib/vhost/vhost.c, examples/vhost_blk/vhost_blk.c",
    (
        *_LIBRARY,
        Difference(
            "element-with-flags", "enqueue_task_packed of examples/vhost_blk",
            "the used element is written right before its flags, after the region's fields",
            (("used-element", "with-flags"),),
        ),
        _next_kept("enqueue_task_packed of examples/vhost_blk"),
        Difference("no-len", "enqueue_task_packed of examples/vhost_blk", "len is not stored", edits=edit.no_len),
        Difference(
            "kicks-wanted", "our program on it (rte_vhost_enable_guest_notification)",
            "the wish to be kicked is stored once, at the start; the example takes it back there, and polls",
            edits=edit.kicks_wanted,
        ),
        _NO_SIGNAL,
    ),
    without=_HARMFUL | _UNPROVED | {"no-len", "kicks-wanted"},
    besides=(
        *_BESIDES,
        "A program that never calls rte_vhost_get_vring_base_from_inflight goes by SET_VRING_BASE, for both positions.",
    ),
)  # fmt: skip

_SPDK = Profile(
    "spdk-vhost-blk", "packed", "SPDK's vhost-blk on DPDK's librte_vhost",
    "SPDK 26.05: lib/vhost/rte_vhost_user.c, lib/vhost/vhost_blk.c; DPDK 22.11 (26.07 has the same): lib/vhost",
    (
        *_LIBRARY,
        _next_kept("vhost_vq_packed_ring_enqueue"),
        Difference(
            "len-before-id", "vhost_vq_packed_ring_enqueue", "a used element's len is stored before its id",
            edits=edit.len_before_id,
        ),
        Difference(
            "used-stays", "vhost_vq_packed_ring_enqueue",
            "where the next used slot is marked used already, the request is forgotten", edits=edit.used_stays,
        ),
        Difference(
            "avail-alone", "vhost_vq_packed_ring_is_avail", "a slot is available by AVAIL alone: USED is not looked at",
            edits=edit.avail_alone,
        ),
        Difference(
            "no-signal-at-start", "set_device_vq_callfd",
            "from 23.01 on nobody notifies at the start, where SET_VRING_CALL comes before SET_VRING_KICK (QEMU)",
            (("signal-at-start", "never"),),
        ),
    ),
    without=_HARMFUL | _UNPROVED | {"len-before-id", "used-stays", "avail-alone"},
    besides=(
        *_BESIDES,
        "It polls: kicks are never wanted. Here it waits for them, as the text does.",
        "Up to 23.05 both positions are SET_VRING_BASE's, unless the option packed_ring_recovery says otherwise.",
        "A chain as long as the ring, whose walk does not flip the wrap counter, is not here.",
        "An entry, or a chain, with the id of a live request gives that one back; here it does not.",
        "addr := 0 and WRITE of a used slot are not here: Linux does not read them.",
    ),
)  # fmt: skip

PROFILES: dict[str, Profile] = by_name((_LIBRTE_VHOST, _SPDK))
"""Profiles by name, mended ones among them."""
