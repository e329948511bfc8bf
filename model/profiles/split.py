"""What back-ends of others do on the split ring."""

from __future__ import annotations

from model.profiles.profile import Profile, by_name

__all__ = ["PROFILES"]

PROFILES: dict[str, Profile] = by_name(())
"""Profiles by name, mended ones among them."""
