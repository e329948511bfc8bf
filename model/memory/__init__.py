"""Memory behind the step tables: what may be seen in another order than it was stored in, and by whose choice."""
