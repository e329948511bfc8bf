"""What is said of a name that does not exist: the names near it, or all of them where they are few."""

from collections.abc import Iterable
from typing import Final

_FEW: Final = 20
_NEAREST: Final = 5


def no_such(what: str, name: str, names: Iterable[str]) -> str:
    """Say that there is no ``what`` of a name; each of the names that may be meant is there once."""
    import difflib  # noqa: PLC0415  # a program that starts with good names need not wait for it

    known = list(dict.fromkeys(names))
    near = difflib.get_close_matches(name, known, n=_NEAREST)
    near = near or [one for one in known if len(name) > 1 and name in one][:_NEAREST]
    text = f"there is no {what} {name if len(name) <= 60 else name[:40] + ' ...'!r}"
    if near:
        return f"{text}; perhaps: {', '.join(near)}"
    if len(known) <= _FEW:
        return f"{text}; there are: {', '.join(known)}"
    return f"{text}; `vhost-inflight explain` lists what there is"


def counted(number: int, what: str) -> str:
    """Say how many there are of something whose plural ends with s: ``1 queue``, ``2 queues``."""
    return f"{number} {what}{'s' * (number != 1)}"
