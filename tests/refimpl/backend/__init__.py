"""The back-end."""
