"""Why a mutant of the packed ring survives: which store, order or guard is not needed, and what does its work."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REASONS"]

REASONS: Mapping[str, str] = {}
"""By the name of the mutant."""
