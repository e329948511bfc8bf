"""An adapter that misbehaves as its argument says: ``python fake.py HOW [ID]``, at every case or at one alone."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from vhost_inflight.vectors.adapters import reference


def answer(message: dict[str, Any], how: str) -> Any:
    """Give an answer that is wrong in one way; what is no answer happens at once."""
    if how == "dies":
        print("the last words of an adapter", file=sys.stderr)
        os.abort()
    if how == "leaves":
        sys.exit(3)
    if how == "hangs":
        time.sleep(600)
    if how == "garbage":
        return "what is this?"
    others: dict[str, Any] = {
        "another": {"id": "split-another", "unsupported": "why"},
        "unsupported": {"id": message["id"], "unsupported": "not yet"},
        "error": {"id": message["id"], "error": "out of luck"},
        "refuses": {"id": message["id"], "answer": {"refused": "driver"}},
    }
    return others.get(how) or changed(message, reference.answer(message), how)


def changed(message: dict[str, Any], right: dict[str, Any], how: str) -> dict[str, Any]:
    """Give the right answer, or one that differs from it in one thing."""
    told = right["answer"]
    if how == "takes" and "refused" in told:
        given = message["given"]
        same = {"resubmit": [], "next_avail": 0, "used": 0, "counter": 0, "region": given["region"]}
        return right | {"answer": same | {"ring_memory": given["ring_memory"]}}
    if how == "blames" and "refused" in told:
        return right | {"answer": {"refused": "front-end"}}
    if how == "lies" and "region" in told:
        return right | {"answer": told | {"region": f"{told['region'][:32]}01{told['region'][34:]}"}}
    return right


def main() -> int:
    """Answer, rightly or as the arguments say."""
    how, at = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    for line in sys.stdin:
        message = json.loads(line)
        if message["op"] == "stop":
            time.sleep(600 if how == "stays" else 0)
            return 4 if how == "leaks" else 0
        if message["op"] == "start":
            said: Any = dict(reference._READY) | ({"version": 2} if how == "version" else {})
            if how == "mute":
                time.sleep(600)
        else:
            said = answer(message, how if at in (None, message["id"]) else "right")
        print(json.dumps(said) + ("\nand more" if how == "more" else ""), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
