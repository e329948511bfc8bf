"""A second solver: the goals as SMT-LIB 2 for anybody's, cvc5's answers beside Z3's, and its proofs checked."""
