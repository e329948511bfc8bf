"""The front-end: its guest's memory, a connection, the shared buffer, and a disk client."""
