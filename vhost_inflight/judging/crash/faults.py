"""Why a crash test ends early: through no fault of the text's, or because a back-end gave up on the memory it found."""

from __future__ import annotations

import os
from pathlib import Path

from refimpl.backend.server import PATH_MAX
from refimpl.errors import DriverError, InflightError, RegionError

__all__ = ["CrashTestError", "GaveUpError", "blames_memory", "check_socket"]


class CrashTestError(InflightError):
    """The test could not go on, and nothing follows for what was tested.

    Raised when a process does not start, ends by itself or does not answer, and when the system refuses something.
    """


class GaveUpError(InflightError):
    """A back-end that lives gave up, since region or ring break a rule. Raised when it closed the connection so.

    The ring's driver follows the rules: whatever stands there now, an earlier life of the back-end brought about.
    """


def check_socket(path: Path) -> None:
    """Raise CrashTestError when a path in the temporary directory is too long for a socket."""
    if (length := len(os.fsencode(path))) > PATH_MAX:
        raise CrashTestError(
            "the name of the temporary directory is too long, say a shorter one (TMPDIR=/tmp): "
            f"a socket's path may have {PATH_MAX} bytes, and {path} has {length}"
        )


def blames_memory(said: str) -> bool:
    """Return whether a back-end's last words blame the region or the driver, rather than its environment."""
    return any(f": {kind.culprit}: " in said for kind in (RegionError, DriverError))
