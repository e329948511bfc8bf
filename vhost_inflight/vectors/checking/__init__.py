"""Check-vectors: somebody's program is asked about each vector, and judged.

``process`` runs the program and keeps its time, ``words`` has what it says in words of its own; ``compare`` judges an
answer (``stores`` that of a trace), ``places`` names a byte; ``asking`` asks about one vector after the other;
``report`` and ``command`` tell what came of it.
"""
