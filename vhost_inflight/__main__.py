"""The door: the command ``vhost-inflight``, and ``python -m vhost_inflight``.

A back-end that was killed has to be there again at once, and so has the oracle when a script asks it a thousand times:
these two read their arguments themselves, and nothing is imported that they do not need. Everything else is in
`vhost_inflight.cli`, which takes longer to import than either takes to start.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from vhost_inflight.telling import ended

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command that the first argument names."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name == "backend":
        from refimpl.backend.process import serve  # noqa: PLC0415  # see above

        ended(lambda: serve(arguments, "vhost-inflight backend"))
    if name == "recover":
        from vhost_inflight.recover.command import ask  # noqa: PLC0415  # see above

        ended(lambda: ask(arguments, "vhost-inflight recover"))
    from vhost_inflight.cli import main as every_command  # noqa: PLC0415  # see above

    every_command()


if __name__ == "__main__":
    main()
