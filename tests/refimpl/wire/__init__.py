"""Messages and connections."""
