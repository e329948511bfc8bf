"""Where model and reference meet."""
