"""The packed ring."""
