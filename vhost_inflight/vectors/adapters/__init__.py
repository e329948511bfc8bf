"""Adapters for check-vectors, each complete: ``reference`` over our reference, and ``recover.c``, a recovery in C."""
