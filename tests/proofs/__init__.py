"""Tests of the proofs: the invariant on plain numbers, the solver, the record, mutants, witnesses."""
