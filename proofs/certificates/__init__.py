"""Certificates: a solver's proof that a goal holds, checked by code that has neither solver in it."""
