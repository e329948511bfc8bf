"""A profile held against the program that it is of: the stores that the program made, followed in the model."""
