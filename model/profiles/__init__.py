"""Profiles: what back-ends of others do, as named edits of the text."""
