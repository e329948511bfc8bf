"""Hostile input: targets that take any bytes, for Hypothesis, for atheris, and for what they have found before."""
