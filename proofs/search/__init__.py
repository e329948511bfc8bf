"""Exhaustive search, breadth first, and what judges the runs of plain numbers."""
