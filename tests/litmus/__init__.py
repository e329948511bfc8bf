"""Small programs of the orders that docs/orders-memory.md speaks of, under a checker of C11 memory."""
