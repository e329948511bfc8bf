"""What back-ends of others do on the split ring.

Facts from public source, read at the versions that each profile names, in our words. The order of the stores is that of
the source; where a library is silent (who fetches, who is notified) its profile takes the order of calls of the program
that it names.
"""

from __future__ import annotations

from model.profiles import split_edits as edit
from model.profiles.profile import Difference, Edits, Profile, by_name

__all__ = ["PROFILES"]

QEMU = "QEMU 7.2.0 (Debian 12) and 8.1.0, and the file at 05a58ce47167: subprojects/libvhost-user/libvhost-user.c"
VDUSE = "QEMU 8.1.0: subprojects/libvduse/libvduse.c, block/export/vduse-blk.c"
YANDEX = "yc-libvhost-server b0e01de94fe8 (2026-04-13): virtio/virt_queue.c, vdev.c, server.c"
DPDK = "DPDK v22.11, v22.11.11 (Debian 12) and v26.07: lib/vhost/vhost.c, vhost_user.c, vhost.h"
EXAMPLE = f"{DPDK}; examples/vhost_blk/vhost_blk.c"
SPDK = "SPDK v23.01 and v26.05: lib/vhost/rte_vhost_user.c, vhost_blk.c; on DPDK v22.11"
SCSI = "SPDK v22.01 to v23.05: lib/vhost/rte_vhost_user.c, vhost_scsi.c; on DPDK v22.11"

FRESH = "fresh-used-idx"
"""The difference that all those have in common that set version and nothing else."""


def _d(name: str, function: str, says: str, edits: Edits = lambda _: [], **choices: str) -> Difference:
    chosen = tuple((gap.replace("_", "-"), choice) for gap, choice in choices.items())
    return Difference(name, function, says, chosen, edits)


def _fresh(function: str) -> Difference:
    says = "a region whose version is 0 gets version 1, and nothing else: used_idx stays 0 though the ring was in use"
    return _d(FRESH, function, says, fresh_used_idx="zero-and-skip")


def _clear_one(function: str, field: str = "last_batch_head") -> Difference:
    says = f"where used_idx differs, desc[{field}].inflight is cleared: one entry, however large the difference"
    return _d("clear-one", function, says, edit.clear_one)


def _desc_num(function: str) -> Difference:
    says = "desc_num is stored at each start, of an adopted region too, and only then version is looked at"
    return _d("desc-num-at-each-start", function, says, edit.desc_num_at_each_start)


def _one(function: str) -> Difference:
    says = "each request is published and settled before the next is given back: a batch is one request"
    return _d("batch-of-one", function, says, edit.batch_of_one)


def _no_link(function: str) -> Difference:
    return _d("no-link", function, "desc[i].next is never stored", edit.no_link)


def _element(function: str) -> Difference:
    return _d("element-at-once", function, "the used element is one assignment of 8 bytes", edit.element_at_once)


def _arm_at_fetch(function: str) -> Difference:
    says = (
        "avail_event is stored at each fetch, before the mark, and never when idle; avail.idx is read only where no "
        "request is known"
    )
    return _d("arm-at-fetch", function, says, edit.arm_at_fetch)


LAZY = (
    "A request is resubmitted when the device asks for the next one, not in recovery; nothing is fetched before the "
    "list is empty. That stores nothing, so it stands here for a device that begins later with what recovery gave it."
)

SORT = (
    "The comparison has a window of 2048: of two counters that are further apart neither is less. Up to there it is as "
    "in the text; what is beyond has a profile of its own."
)

BASE = "Where the region is fresh, fetching goes on at SET_VRING_BASE's value: here at used.idx, which QEMU sends."

# libvhost-user, and contrib/vhost-user-blk on it

_LIBVHOST_USER = (
    _fresh("vu_check_queue_inflights"),
    _desc_num("vu_set_inflight_fd"),
    _d("signal-first", "vu_set_vring_call_exec",
       "the driver is notified at each SET_VRING_CALL, before anything is compared", edit.signal_before),
    _clear_one("vu_check_queue_inflights"),
    _d("kick-itself", "vu_set_vring_kick_exec, vu_check_queue_inflights",
       "recovery of an adopted region ends by writing to the kick eventfd; a fresh one waits for a kick",
       edit.kick_if_adopted),
    _arm_at_fetch("vu_queue_pop, vring_set_avail_event"),
    _one("vu_queue_push"),
    _no_link("vu_queue_inflight_pre_put"),
    _element("vu_queue_fill"),
)  # fmt: skip

_KICKS = "Each SET_VRING_KICK starts recovery, of a running ring too; QEMU sends none. A profile of its own has it."

_OTHERS = _LIBVHOST_USER[1:]
"""What is left with the mend: what other profiles of the same library are made of, so that they show one thing each."""

LIBVHOST_USER = Profile(
    "libvhost-user", "split", "libvhost-user of QEMU, under a device that holds several requests and gives each back "
    "by vu_queue_push", QEMU, _LIBVHOST_USER, without=frozenset({FRESH}), besides=(LAZY, SORT, BASE, _KICKS),
)  # fmt: skip

VHOST_USER_BLK = Profile(
    "vhost-user-blk", "split", "contrib/vhost-user-blk of QEMU, on libvhost-user",
    f"{QEMU}; contrib/vhost-user-blk/vhost-user-blk.c",
    (*_LIBVHOST_USER, _d("one-at-a-time", "vub_process_vq, vub_virtio_process_req",
                         "a request is done and given back before the next is taken", edit.one_at_a_time)),
    without=frozenset({FRESH}), besides=(LAZY, BASE, _KICKS),
)  # fmt: skip

KICKED = Profile(
    "libvhost-user-kicked", "split", "libvhost-user of QEMU, where a front-end sends a second kick fd",
    QEMU,
    (*_OTHERS, _d("every-kick", "vu_set_vring_kick_exec", "each SET_VRING_KICK starts recovery, of a running ring too",
                  recovery_start="every-kick"),
     _d("in-use-still-counted", "vu_check_queue_inflights",
        "the marks are added to the number of requests that the process has in use already, which is not reset",
        edit.own_still_counted)),
    without=frozenset({"every-kick"}),
    besides=("libvhost-user without its fresh region, so that what is violated is the second kick's doing.", LAZY),
)  # fmt: skip


def _window(function: str) -> Difference:
    says = (
        f"of two counters that differ by the window or more (2048 in the source; {edit.WINDOW} here, so that a search "
        "ends) neither is less: which entry the list begins with is up to qsort (here, as a merge sort does, the one "
        "of the smaller head), and the counter goes on past that one"
    )
    return _d("window", function, says, edit.windowed)


_TWO = "A list of more than two entries may have no order at all then: it is judged on rings of two."

LIBVHOST_USER_WINDOW = Profile(
    "libvhost-user-window", "split", "libvhost-user of QEMU, where one request outlives 2048 others", QEMU,
    (*_OTHERS, _window("inflight_desc_compare, vu_check_queue_inflights")), without=frozenset({"window"}),
    besides=("libvhost-user without its fresh region, so that what is violated is the window's doing.", _TWO),
)  # fmt: skip

# libvduse, and vduse-blk on it

_LIBVDUSE = (
    _d("no-version", "vduse_set_reconnect_log_file, vduse_queue_check_inflights",
       "version is neither read nor set: a log of zeros counts, desc_num is stored at each attach, and comparing sets "
       "used_idx", edit.no_version),
    _d("larger", "vduse_set_reconnect_log_file, vduse_vq_log_size", "the log has 1024 entries, whatever the ring has",
       region_size="larger"),
    _clear_one("vduse_queue_check_inflights"),
    _d("signal-before-resubmitting", "vduse_queue_check_inflights",
       "the driver is notified when the list is made, before any of it is resubmitted",
       edit.signal_before_resubmitting),
    _d("kick-itself", "vduse_blk_enable_queue", "the export writes to its own kick eventfd when a queue starts",
       edit.kick_itself),
    _arm_at_fetch("vduse_queue_pop"),
    _one("vduse_queue_push"),
    _no_link("vduse_queue_inflight_pre_put"),
    _element("vduse_queue_fill"),
)  # fmt: skip

_LOG = "The region is a file, the log; who starts the queue is a message of the kernel's. The bytes are the same."

LIBVDUSE = Profile(
    "libvduse", "split", "libvduse of QEMU, and the export vduse-blk of qemu-storage-daemon on it", VDUSE, _LIBVDUSE,
    besides=(
        _LOG, LAZY, SORT,
        "Each status with DRIVER_OK starts recovery of all queues: no driver sends it twice without a reset.",
    ),
)  # fmt: skip

LIBVDUSE_WINDOW = Profile(
    "libvduse-window", "split", "libvduse of QEMU, where one request outlives 2048 others", VDUSE,
    (*_LIBVDUSE, _window("inflight_desc_compare, vduse_queue_check_inflights")), without=frozenset({"window"}),
    besides=(_LOG, LAZY, _TWO),
)  # fmt: skip

# yc-libvhost-server

_YC_BASE = (
    "Fetching goes on at SET_VRING_BASE's value plus what is inflight: here at used.idx plus that, since QEMU sends "
    "used.idx. A front-end that sends avail.idx breaks it."
)

YC = Profile(
    "yc-libvhost-server", "split", "libvhost-server of Yandex Cloud", YANDEX,
    (
        _d("version-by-get", "vhost_get_inflight_fd, inflight_mem_init",
           "version and desc_num are set in GET_INFLIGHT_FD, before the front-end has the region; used_idx is not",
           edit.version_by_get, init_order="before-hand-over"),
        _d("fresh-by-counters", "virtq_inflight_reconnect_update",
           "a region in which each counter is 0 is fresh, whatever version says", edit.fresh_by_counters),
        _d("counter-of-all", "virtq_inflight_reconnect_update",
           "the counter goes on past the greatest of all entries, inflight or not: it begins with 1",
           edit.counter_of_all),
        _d("one-or-abort", "virtq_inflight_reconnect_update",
           "a difference of more than one is an assertion: the process aborts", edit.assert_one),
        _d("commit-always", "virtq_inflight_reconnect_update", "used_idx is stored in every case", edit.commit_always),
        _d("signal-first", "vring_sync_to_virtq, virtq_set_notify_fd",
           "the driver is notified before anything is compared", edit.signal_first),
        _d("kick-itself", "vring_sync_to_virtq", "a ring that becomes enabled writes to its own kick eventfd",
           edit.kick_itself),
        _d("arm-at-look", "virtq_dequeue_many",
           "avail_event is stored at each look, for all that was seen, and avail.idx read again until it is the same; "
           "then all of that is fetched", edit.arm_at_look),
        _one("virtq_push, virtq_inflight_used_update"),
    ),
    besides=(
        _YC_BASE,
        "Resubmission is part of the first look at the ring, before it: as in recovery here.",
        "GET_VRING_BASE_INFLIGHT, which cancels what is in flight, is not modelled.",
    ),
)  # fmt: skip

# librte_vhost, with who uses it

_CHECK = "vhost_check_queue_inflights_split"


def _dpdk(*more: Difference) -> tuple[Difference, ...]:
    return (
        _fresh(_CHECK), _desc_num("vhost_user_set_inflight_fd"), _clear_one(_CHECK, "last_inflight_io"),
        _no_link("rte_vhost_set_last_inflight_io_split"), *more,
    )  # fmt: skip


def _never_called(function: str) -> Difference:
    return _d("never-notified", function, "nobody notifies the driver when a ring starts", signal_at_start="never")


def _lead_first(function: str) -> Difference:
    says = "last_inflight_io is stored first, then the used element's id, then its len"
    return _d("lead-first", function, says, edit.lead_first)


_AGAIN = (
    "Each SET_VRING_KICK starts recovery, unless one since the last SET_INFLIGHT_FD (before v24.07: on this "
    "connection) found something inflight. QEMU sends none to a ring that runs."
)
_FLAGS = (
    "The application offers no event index and polls: what the model says of avail_event and used_event stands for the "
    "flags, and for a back-end that is always armed."
)
_MENDED = frozenset({FRESH, "never-notified"})

LIBRTE_VHOST = Profile(
    "librte_vhost", "split", "librte_vhost of DPDK, in the order of calls of its example vhost_blk, under an "
    "application that resubmits what the library hands it", EXAMPLE,
    _dpdk(_never_called(f"{_CHECK}; new_device"), _one("enqueue_task"), _lead_first("enqueue_task")),
    without=_MENDED, besides=(_FLAGS, _AGAIN, BASE),
)  # fmt: skip

NEVER = "never-resubmitted"

DPDK_VHOST_BLK = Profile(
    "dpdk-vhost-blk", "split", "the example vhost_blk of DPDK since v21.05, on librte_vhost", EXAMPLE,
    _dpdk(
        _never_called(f"{_CHECK}; new_device"), _one("enqueue_task"), _lead_first("enqueue_task"),
        _d(NEVER, "new_device, submit_inflight_vq",
           "bit 12 of the virtio features is tested in the place of the protocol feature, so what is inflight is never "
           "asked for; the library counts it all the same", edit.never_resubmitted),
        _d("one-at-a-time", "process_vq", "a request is done and given back before the next is taken",
           edit.one_at_a_time),
    ),
    without=_MENDED | {NEVER}, besides=(_FLAGS, _AGAIN, BASE),
)  # fmt: skip

_POLL = (
    "The driver is notified at the end of a poll, for all that was supplied since: later than here, so more is lost "
    "where nobody notifies at a start."
)

SPDK_BLK = Profile(
    "spdk-vhost-blk", "split", "vhost-blk of SPDK since v23.01, on librte_vhost", SPDK,
    _dpdk(
        _never_called("set_device_vq_callfd, enable_device_vq"), _one("vhost_vq_used_ring_enqueue"),
    ),
    without=_MENDED, besides=(_FLAGS, _AGAIN, BASE, _POLL),
)  # fmt: skip

SPDK_SCSI = Profile(
    "spdk-vhost-scsi", "split", "vhost-scsi of SPDK v22.01 to v23.05, on librte_vhost", SCSI,
    _dpdk(
        _one("vhost_vq_used_ring_enqueue"),
        _d(NEVER, "submit_inflight_desc", "the element past the list's end is taken, so what is inflight is never done",
           edit.never_resubmitted),
    ),
    without=frozenset({FRESH, NEVER}),
    besides=(
        _FLAGS, _AGAIN, BASE,
        "The driver is notified at a start: from v23.01 at SET_VRING_CALL, which QEMU's vhost-user-scsi sends last.",
        "What stands past the list's end may be a head, which would be done and given back: not modelled.",
    ),
)  # fmt: skip

PROFILES: dict[str, Profile] = by_name((
    LIBVHOST_USER, LIBVHOST_USER_WINDOW, KICKED, VHOST_USER_BLK, LIBVDUSE, LIBVDUSE_WINDOW, YC, LIBRTE_VHOST,
    DPDK_VHOST_BLK, SPDK_BLK, SPDK_SCSI,
))  # fmt: skip
"""Profiles by name, mended ones among them."""
