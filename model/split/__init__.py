"""The split ring: variables, procedures, history, gaps, revisions."""
