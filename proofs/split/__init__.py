"""The proofs about the split ring: positions that only a proof needs, and the invariant."""
