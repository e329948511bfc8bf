"""What is true of the model: search, induction, mutants, recorded verdicts."""
