"""What comes of stopping a ring, by the generations of back-end and front-end (`refimpl.wire.features.GENERATIONS`)."""

from collections.abc import Mapping
from itertools import product
from types import MappingProxyType
from typing import Final, NamedTuple


class Meeting(NamedTuple):
    """What comes of a back-end of one generation under a front-end of another, both of which have INFLIGHT_SHMFD.

    ``suspends``: what is in flight when a ring is stopped stays recorded in the region; else it is completed first.
    ``believes``: the front-end takes all for completed, and brings no region to the destination of a migration.
    """

    suspends: bool
    believes: bool


def _meet(back_end: str, front_end: str) -> Meeting:
    """Take bits 20 and 23 as negotiated where both have them."""
    has_20 = "drain" not in {back_end, front_end}
    has_23 = back_end == front_end == "skip-drain"
    suspends = has_23 or (has_20 and back_end == "may-suspend")
    return Meeting(suspends, believes=not has_23 and not (has_20 and front_end == "may-suspend"))


MEETINGS: Final[Mapping[str, Meeting]] = MappingProxyType(
    {f"{b}-under-{f}": _meet(b, f) for b, f in product(("drain", "may-suspend", "skip-drain"), repeat=2)}
)
"""The nine pairs of a back-end's generation under a front-end's."""
