"""Requests of virtio-blk as numbers: their types, and the header that says which it is."""

import struct
from typing import Final

READ: Final = 0
WRITE: Final = 1
FLUSH: Final = 4
GET_ID: Final = 8
DISCARD: Final = 11
WRITE_ZEROES: Final = 13

HEADER: Final = struct.Struct("<IIQ")
"""Type, reserved, sector: in little-endian, as virtio 1 has it."""
