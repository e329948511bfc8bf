"""The device status of virtio, as SET_STATUS and GET_STATUS carry it: how far driver and device have come."""

import enum
from typing import Final


class Status(enum.IntFlag):
    """The bits that virtio names; with none of them the device is reset."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    NEEDS_RESET = 64
    FAILED = 128


STATUS_MAX: Final = 0xFF
"""The greatest device status: virtio has eight bits for it, the messages 64."""

RUNS: Final = Status.ACKNOWLEDGE | Status.DRIVER | Status.DRIVER_OK
"""What is set besides FEATURES_OK once the rings are described and may run."""
