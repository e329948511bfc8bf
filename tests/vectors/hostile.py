"""An adapter that does what nobody expects: ``python hostile.py HOW [ID]``, at every case or at one alone."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from vhost_inflight.vectors.adapters import reference

ESCAPES = "\x1b[31m\x00\x7f\x9b1m\nfail: split-fetched"
"""Words that a terminal would obey, and a line of the report."""


def answer(message: dict[str, Any], how: str) -> Any:
    """Give an answer with words that are none to be shown, or the right one; what is no answer happens at once."""
    if how == "real-time":
        os.kill(os.getpid(), 40)
    if how == "tells-its-pid":
        Path("told").write_text(str(os.getpid()), encoding="ascii")
        Path("told").rename("pid")
        time.sleep(600)
    if how == "leaves":
        sys.exit(3)
    if how == "leaves-a-child":
        leave_a_child()
    if how == "floods":
        while True:
            os.write(2, b"a line of many\n" * 1000)
    if how == "obeyed":
        os.write(2, b"\x1b[31mred\x00\nfail: split-fetched\n")
        sys.exit(5)
    others: dict[str, Any] = {
        "escapes": {"id": message["id"], "error": f"\ud800{ESCAPES}"},
        "escapes-unsupported": {"id": message["id"], "unsupported": ESCAPES},
        "escapes-a-key": {ESCAPES: 1, "id": message["id"]},
        "escapes-the-id": {"id": ESCAPES, "error": ""},
    }
    return others.get(how) or reference.answer(message)


def leave_a_child() -> None:
    """End with exit status 4, while a child holds every pipe open, in a session that no signal to the group reaches."""
    ready, told = os.pipe()
    if child := os.fork():
        Path("child").write_text(str(child), encoding="ascii")
        os.read(ready, 1)
        os._exit(4)
    os.setsid()
    os.write(told, b"!")
    time.sleep(60)


def starts() -> int:
    """Count how often this was called in the working directory."""
    count = Path("starts")
    number = 1 + (int(count.read_text(encoding="ascii")) if count.exists() else 0)
    count.write_text(str(number), encoding="ascii")
    return number


def main() -> int:
    """Answer, rightly or as the arguments say."""
    how, at = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    if how in {"starts-once", "starts-not-twice"}:
        number = starts()
        if number == 2 or (how == "starts-once" and number > 2):
            print("no licence", file=sys.stderr)
            return 9
        how = "leaves"
    for line in sys.stdin:
        message = json.loads(line)
        if message["op"] == "stop":
            if how == "leaks":
                os.write(2, b"leaked\n" * 100_000)
            return 4 if how == "leaks" else 0
        if message["op"] == "start":
            said: Any = dict(reference._READY) | ({"name": f"mine{ESCAPES}"} if how.startswith("escapes") else {})
        else:
            said = answer(message, how if at in (None, message["id"]) else "right")
        print(json.dumps(said), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
