"""Vectors, and what judges others by them."""
