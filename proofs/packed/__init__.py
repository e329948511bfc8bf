"""The proof of the packed ring: ghost state, invariant, rank, what else has to be shown."""
