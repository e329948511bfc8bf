"""Messages as bytes, and a connection that carries them with file descriptors."""
