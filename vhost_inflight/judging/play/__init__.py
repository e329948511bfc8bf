"""A schedule played on real memory in one process, and judged by what really happened there."""
