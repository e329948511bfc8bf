"""What the split ring's state consists of, and who keeps it."""

from __future__ import annotations

from model.both.words import DEAD, FIRST
from model.record import Var, Vars
from model.terms import parameter

__all__ = ["VARS"]

VARS = Vars(
    # The region, shared with whoever comes after a crash.
    Var("region.version", "region", 16, "0: not initialised yet; 1: initialised"),
    Var("region.desc_num", "region", 16, "number of entries"),
    Var("region.last_batch_head", "region", 16, "head of the list of the last batch (v6: process_head)"),
    Var("region.used_idx", "region", 16, "used.idx when the last batch was complete"),
    Var("region.desc[].inflight", "region", 8, "1: fetched and not yet given back", "heads"),
    Var("region.desc[].next", "region", 16, "the entry before this one in the batch list", "heads"),
    Var("region.desc[].counter", "region", 64, "merged: when it was fetched, as a global count", "heads"),
    # The ring, in guest memory.
    Var(
        "table",
        "ring",
        64,
        "what the head's chain says (address, length, flags, the whole chain), as one number",
        "heads",
    ),
    Var("avail.ring", "ring", 16, "heads, in the order in which they were made available", "size"),
    Var("avail.idx", "ring", 16, "where the driver lists the next head", initial=FIRST),
    Var("avail.used_event", "ring", 16, "the driver wants a notification when used.idx passes this", initial=FIRST),
    Var("used.ring[].id", "ring", 32, "used element: the head", "size"),
    Var("used.ring[].len", "ring", 32, "used element: bytes written by the device", "size"),
    Var("used.idx", "ring", 16, "where the device lists the next used element", initial=FIRST),
    Var("used.avail_event", "ring", 16, "the back-end wants a kick when avail.idx passes this", initial=FIRST),
    # The eventfds, in the kernel: they outlive the process.
    Var("kick", "eventfd", 1, "the driver has something for the back-end"),
    Var("call", "eventfd", 1, "the back-end has something for the driver"),
    # The back-end process: all this dies with it.
    Var("recover.at", "volatile", 0, "label", initial=DEAD),
    Var("recover.fresh", "volatile", 1, "1: the region was not initialised"),
    Var("recover.mismatch", "volatile", 1, "1: region.used_idx was not used.idx"),
    Var("recover.left", "volatile", 16, "entries of the last batch still to be cleared"),
    Var("recover.entry", "volatile", 16, "the next of them"),
    Var("recover.resubmitted", "volatile", 1, "1: this recovery has resubmitted the head", "heads"),
    Var("counter", "volatile", 64, "merged: the global counter"),
    Var("fetch.at", "volatile", 0, "label", initial="off"),
    Var("fetch.last_avail", "volatile", 16, "the next index of the available ring to fetch"),
    Var("fetch.seen_avail", "volatile", 16, "avail.idx when it was last read"),
    Var("fetch.head", "volatile", 16, "the head in hand"),
    Var("fetch.rested", "volatile", 1, "1: has taken a kick since it started"),
    Var("supply.at", "volatile", 0, "label", initial="off"),
    Var("supply.open", "volatile", 2, "batch: 0 none, 1 being built, 2 published and not yet complete"),
    Var("supply.head", "volatile", 16, "the head in hand"),
    Var("supply.count", "volatile", 16, "requests in the batch"),
    Var("supply.batch", "volatile", 16, "the batch, in the order it was built", "heads"),
    Var("supply.cursor", "volatile", 16, "how far a loop over the batch has come"),
    Var("supply.old_idx", "volatile", 16, "used.idx before the batch was published"),
    Var("supply.wanted", "volatile", 1, "1: the driver asked to be notified"),
    Var("device.state", "volatile", 2, "0 nothing, 1 works on it, 2 finished, 3 in the batch", "heads"),
    Var("device.given", "volatile", 64, "what the device was told to do for the head", "heads"),
    # The driver: it does not die.
    Var("driver.at", "driver", 0, "label", initial="idle"),
    Var("driver.head", "driver", 16, "the head in hand"),
    Var("driver.owns", "driver", 1, "1: the back-end has the head; 0: free", "heads"),
    Var("driver.num_free", "driver", 16, "free heads", initial=parameter("size")),
    Var("driver.requests", "driver", 64, "requests made so far: makes each one different", initial=1),
    Var("driver.wants_kick", "driver", 1, "1: the back-end asked to be kicked"),
    Var("driver.next_used", "driver", 16, "the next index of the used ring to read", initial=FIRST),
    Var("rest.at", "driver", 0, "label: awake, checking, asleep", initial="awake"),
    # History: what happened, for the judges. Positions count requests and never wrap; -1: none.
    Var("history.made", "ghost", 0, "position of the request last made available at the head", "heads", -1),
    Var("history.got", "ghost", 0, "position of the request last fetched at the head", "heads", -1),
    Var("history.done", "ghost", 0, "position of the request last visible as used at the head", "heads", -1),
    Var("history.content", "ghost", 0, "what the head's chain said when it was made available", "heads"),
    Var("history.avail_pos", "ghost", 0, "position of the next request to be made available", initial=FIRST),
    Var("history.used_pos", "ghost", 0, "position of the next used element", initial=FIRST),
    Var("history.seen_pos", "ghost", 0, "position of the next used element that the driver reads", initial=FIRST),
    Var(
        "history.last_given",
        "ghost",
        0,
        "position of the request that this process gave to the device last",
        initial=-1,
    ),
    Var("history.in_order", "ghost", 0, "1: this process has given requests to the device in order", initial=1),
    Var("history.finished", "ghost", 0, "1: the device has finished the head's request since it last got it", "heads"),
    Var("history.twice", "ghost", 0, "1: the head was given to the device while it worked on it", "heads"),
    Var("history.undisturbed", "ghost", 0, "0: the driver has done something since this recovery began", initial=1),
)
