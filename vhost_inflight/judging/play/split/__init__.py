"""The split ring: its memory and the steps of its driver, and the judge of what happened on it."""
