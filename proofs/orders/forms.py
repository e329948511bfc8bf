"""What an order is in C11: what the compiler alone must keep, and what the processor must keep as well."""

from __future__ import annotations

from model.memory.kinds import ARM, COMPILER, LOAD_LOAD, STORE_LOAD, STORE_STORE
from proofs.orders.answers import Told

__all__ = ["NOTHING", "form"]

NOTHING = "`memory_order_relaxed`"
"""For accesses that nothing orders: relaxed, not plain, since others look at the same time."""

_COMPILER = {
    STORE_STORE: "`atomic_signal_fence(memory_order_release)` before the second",
    STORE_LOAD: "`atomic_signal_fence(memory_order_seq_cst)` between the two",
    LOAD_LOAD: "`atomic_signal_fence(memory_order_acquire)` after the first",
}
_PROCESSOR = {
    STORE_STORE: "`atomic_store_explicit(..., memory_order_release)` for the second",
    STORE_LOAD: "`atomic_thread_fence(memory_order_seq_cst)` between the two",
    LOAD_LOAD: "`atomic_load_explicit(..., memory_order_acquire)` for the first",
}


def form(told: Told) -> str:
    """Give the C11 form that keeps a pair where it has to be kept; what keeps a processor keeps the compiler too."""
    if (seen := told.answers.get(ARM.name)) and seen.run:
        return _PROCESSOR[told.row.kind]
    if (found := told.answers.get(COMPILER.name)) and found.run:
        return _COMPILER[told.row.kind]
    return NOTHING
