"""The split ring."""
