"""The door: the command ``vhost-inflight``, and ``python -m vhost_inflight``.

A back-end that was killed has to be there again at once, and so has the oracle when a script asks it a thousand times:
these two read their arguments themselves, and nothing is imported that they do not need. Everything else is in
`vhost_inflight.cli`, which takes longer to import than either takes to start.

Ctrl-C may come while something is imported, too: so nothing is imported before it is heard.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing has it, which takes a while to import
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command that the first argument names; leave at once when it was ended by Ctrl-C."""
    try:
        _run()
    except KeyboardInterrupt:
        _leave()
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer makes this of it
            _leave()
        raise


def _leave() -> NoReturn:
    """End this process, with what it printed; what was half made is not taken apart, or it may complain (z3's does)."""
    import contextlib  # noqa: PLC0415  # see above

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(_INTERRUPTED)


def _run() -> NoReturn:
    from vhost_inflight.telling import ended  # noqa: PLC0415  # see above

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
