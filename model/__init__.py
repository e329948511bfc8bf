"""The protocol as tables of steps: no I/O, no solver. model.protocol is the door."""
