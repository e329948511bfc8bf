"""What the packed ring's state consists of, and who keeps it."""

from __future__ import annotations

from collections.abc import Callable

from model.both.words import DEAD, FIRST
from model.record import Var, Vars
from model.terms import Operand, Term, cell, ite, lap, parameter

__all__ = ["BASE", "BASE_WRAP", "VARS"]

BASE, BASE_WRAP = cell(FIRST), lap(FIRST)
"""Slot and wrap counter of the first position: what SET_VRING_BASE says with a fresh region."""


def _last_lap(slot: Term) -> Operand:
    """Give the wrap counter of the lap in which a slot was used last, when the ring begins."""
    return ite(slot < BASE, BASE_WRAP, 1 - BASE_WRAP)


def _flags(what: str, kind: str, doc: str, limit: str, initial: Operand | Callable[[Term], Operand] = 0) -> list[Var]:
    return [
        Var(f"{what}.flags.next", kind, 1, f"{doc}: NEXT, the chain goes on", limit),
        Var(f"{what}.flags.avail", kind, 1, f"{doc}: AVAIL", limit, initial),
        Var(f"{what}.flags.used", kind, 1, f"{doc}: USED", limit, initial),
    ]


VARS = Vars(
    # The region, shared with whoever comes after a crash.
    Var("region.version", "region", 16, "0: not initialised yet; 1: initialised"),
    Var("region.desc_num", "region", 16, "number of entries"),
    Var("region.free_head", "region", 16, "head of the free list"),
    Var("region.old_free_head", "region", 16, "head of the free list when the last batch was complete"),
    Var("region.used_idx", "region", 16, "the next used slot"),
    Var("region.old_used_idx", "region", 16, "the next used slot when the last batch was complete"),
    Var("region.used_wrap_counter", "region", 8, "the wrap counter of the next used slot"),
    Var("region.old_used_wrap_counter", "region", 8, "the wrap counter when the last batch was complete"),
    Var("region.desc[].inflight", "region", 8, "1: fetched and not yet given back (on a head)", "heads"),
    Var("region.desc[].next", "region", 16, "the next entry of the free list, or of the chain", "heads"),
    Var("region.desc[].last", "region", 16, "the last entry of the chain (on a head)", "heads"),
    Var("region.desc[].num", "region", 16, "entries of the chain (on a head)", "heads"),
    Var("region.desc[].counter", "region", 64, "merged: when it was fetched, as a global count (on a head)", "heads"),
    Var("region.desc[].id", "region", 16, "copy of the descriptor's buffer id", "heads"),
    *_flags("region.desc[]", "region", "copy of the descriptor's flags", "heads"),
    Var("region.desc[].len", "region", 32, "copy of the descriptor's length", "heads"),
    Var("region.desc[].addr", "region", 64, "copy of the descriptor's address", "heads"),
    # The ring, in guest memory.
    Var("ring.desc[].addr", "ring", 64, "address; each descriptor that is made has another one", "size"),
    Var("ring.desc[].len", "ring", 32, "length; of a used element, what the device wrote", "size"),
    Var("ring.desc[].id", "ring", 16, "the buffer id", "size"),
    *_flags("ring.desc[]", "ring", "flags", "size", _last_lap),
    Var(
        "driver_event.off_wrap.slot", "ring", 15, "gap event-kind: the used element that flags of 2 speak of: its slot"
    ),
    Var("driver_event.off_wrap.wrap", "ring", 1, "gap event-kind: that slot's wrap counter"),
    Var("driver_event.flags", "ring", 16, "0: the driver wants notifications; 1: none; 2: the one that off_wrap says"),
    Var("device_event.flags", "ring", 16, "0: the back-end wants kicks; 1: it does not"),
    # The eventfds, in the kernel: they outlive the process.
    Var("kick", "eventfd", 1, "the driver has something for the back-end"),
    Var("call", "eventfd", 1, "the back-end has something for the driver"),
    # The back-end process: all this dies with it.
    Var("recover.at", "volatile", 0, "label", initial=DEAD),
    Var("recover.fresh", "volatile", 1, "1: the region was not initialised"),
    Var("recover.mismatch", "volatile", 1, "1: used_idx was not old_used_idx"),
    Var("recover.submitted", "volatile", 1, "1: d.flags were not those of an available descriptor"),
    Var("recover.entry", "volatile", 16, "the entry that a loop is at"),
    Var("recover.left", "volatile", 17, "what is left of a loop: of the entries, of a chain"),
    Var("recover.head", "volatile", 16, "the request that is being resubmitted"),
    Var("recover.ahead", "volatile", 17, "hardened: how far ahead of the used slot a slot is looked at", initial=1),
    Var("recover.marked", "volatile", 1, "hardened: 1: that slot is marked used"),
    Var("recover.resubmitted", "volatile", 1, "1: this recovery has resubmitted the request", "heads"),
    Var("counter", "volatile", 64, "merged: the global counter"),
    Var("fetch.at", "volatile", 0, "label", initial="off"),
    Var("fetch.avail_idx", "volatile", 16, "the next slot to fetch"),
    Var("fetch.avail_wrap", "volatile", 8, "its wrap counter"),
    Var("fetch.available", "volatile", 1, "1: the next slot was available when it was last read"),
    Var("fetch.head", "volatile", 16, "the request in hand"),
    Var("fetch.last", "volatile", 1, "1: the descriptor in hand is the last of its chain"),
    Var("fetch.rested", "volatile", 1, "1: has taken a kick since it started"),
    Var("supply.at", "volatile", 0, "label", initial="off"),
    Var("supply.open", "volatile", 2, "batch: 0 none, 1 being built, 2 published and not yet complete"),
    Var("supply.head", "volatile", 16, "the request in hand"),
    Var("supply.count", "volatile", 16, "requests in the batch"),
    Var("supply.slots", "volatile", 17, "descriptors in the batch"),
    Var("supply.batch", "volatile", 16, "the batch, in the order it was built", "heads"),
    Var("supply.offset", "volatile", 17, "descriptors of the batch before each of its requests", "heads"),
    Var("supply.cursor", "volatile", 16, "how far a loop over the batch has come"),
    Var("supply.start", "volatile", 16, "the next used slot before the batch"),
    Var("supply.start_wrap", "volatile", 8, "its wrap counter"),
    Var("supply.wanted", "volatile", 1, "1: the driver wants to be notified"),
    Var("supply.one", "volatile", 1, "gap event-kind: 1: of one used element, it has still to be read of which"),
    Var("device.state", "volatile", 2, "0 nothing, 1 works on it, 2 finished, 3 in the batch", "heads"),
    Var("device.given", "volatile", 64, "what the device was told to do for the request", "heads"),
    Var("device.slot", "volatile", 17, "gap used-slot: 1 and the slot of its head; 0: not known", "heads"),
    Var("device.slot_wrap", "volatile", 8, "gap used-slot: that slot's wrap counter", "heads"),
    # The driver: it does not die.
    Var("driver.at", "driver", 0, "label", initial="idle"),
    Var("driver.id", "driver", 16, "the buffer id in hand"),
    Var("driver.length", "driver", 17, "descriptors written of its chain"),
    Var("driver.slot", "driver", 16, "the slot of the last of them"),
    Var("driver.slot_wrap", "driver", 8, "its wrap counter", initial=1),
    Var("driver.avail_idx", "driver", 16, "the next slot to make available", initial=BASE),
    Var("driver.avail_wrap", "driver", 8, "its wrap counter", initial=BASE_WRAP),
    Var("driver.owns", "driver", 1, "1: the back-end has the id; 0: free", "heads"),
    Var("driver.num", "driver", 16, "descriptors of the id's chain", "heads"),
    Var("driver.num_free", "driver", 17, "free slots", initial=parameter("size")),
    Var("driver.requests", "driver", 64, "requests made so far, and one", initial=1),
    Var("driver.written", "driver", 32, "descriptors written so far, and one: makes each different", initial=1),
    Var("driver.wants_kick", "driver", 1, "1: the back-end wants to be kicked"),
    Var("driver.used_idx", "driver", 16, "the next used slot to read", initial=BASE),
    Var("driver.used_wrap", "driver", 8, "its wrap counter", initial=BASE_WRAP),
    Var("rest.at", "driver", 0, "label: awake, asking, checking, asleep, woken", initial="awake"),
    # History: what happened, for the judges. Positions count descriptors and never wrap; a request's is its first's.
    Var("history.made", "ghost", 0, "position of the request last made available with the id", "heads", -1),
    Var("history.done", "ghost", 0, "position of the request last visible as used with the id", "heads", -1),
    Var("history.pos", "ghost", 0, "position of the descriptor last written to the slot", "size", -1),
    Var("history.addr", "ghost", 0, "what the driver wrote there", "size"),
    Var("history.got", "ghost", 0, "position of the request last fetched to the entry", "heads", -1),
    Var("history.who", "ghost", 0, "its buffer id", "heads"),
    Var("history.length", "ghost", 0, "descriptors of its chain", "heads"),
    Var(
        "history.held", "ghost", 0, "position of the request whose descriptor was last copied to the entry", "heads", -1
    ),
    Var("history.nth", "ghost", 0, "which descriptor of its chain that is", "heads"),
    Var("history.content", "ghost", 0, "what the driver wrote in that descriptor", "heads"),
    Var("history.avail_pos", "ghost", 0, "position of the next request to be made available", initial=FIRST),
    Var(
        "history.used_pos",
        "ghost",
        0,
        "position of the first descriptor that the driver cannot meet as used",
        initial=FIRST,
    ),
    Var("history.seen_pos", "ghost", 0, "position of the next used element that the driver reads", initial=FIRST),
    Var(
        "history.last_given",
        "ghost",
        0,
        "position of the request that this process gave to the device last",
        initial=-1,
    ),
    Var("history.in_order", "ghost", 0, "1: this process has given requests to the device in order", initial=1),
    Var("history.ready", "ghost", 0, "position of the id's request if the device finished it; -1: none", "heads", -1),
    Var("history.result", "ghost", 0, "what the device wrote for it", "heads"),
    Var("history.twice", "ghost", 0, "1: the request was given to the device while it worked on it", "heads"),
    Var("history.undisturbed", "ghost", 0, "0: the driver has done something since this recovery began", initial=1),
)
