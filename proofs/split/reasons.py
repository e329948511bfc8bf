"""Why."""
REASONS: dict[str, str] = {}
