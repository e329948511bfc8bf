"""The adapter in C, built for tests."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import vhost_inflight.vectors.adapters

__all__ = ["MISTAKES", "SOURCE", "built", "edited"]

SOURCE: Final = Path(vhost_inflight.vectors.adapters.__file__).with_name("recover.c")

MISTAKES: Final = (
    "COUNTER_WINDOW",
    "LAST_AVAIL_FROM_BASE",
    "COUNTER_RESTARTS",
    "FRESH_USED_IDX_ZERO",
    "INFLIGHT_INSTEAD_OF_FLAGS",
    "FREE_NOT_CLEARED",
    "WHOLE_FLAGS",
    "PLAIN_HEADER",
    "MARKED_BEFORE_COUNTER",
    "SETTLED_BEFORE_CLEARED",
    "FIRST_FLAGS_FIRST",
)
"""The macros that put a mistake in, without ``MISTAKE_``."""

_FLAGS: Final = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
_SANITIZED: Final = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@cache
def _compiled(folder: Path, mistake: str) -> Path:
    program = folder / f"recover-{mistake or 'right'}"
    more = [f"-DMISTAKE_{mistake}"] if mistake else _SANITIZED
    subprocess.run(["cc", *_FLAGS, *more, "-o", program, SOURCE], check=True)
    return program


def edited(folder: Path, right: str, wrong: str) -> Path:
    """Build it with a piece of its source that is there once made another one, and give the program."""
    text = SOURCE.read_text(encoding="utf-8")
    assert text.count(right) == 1, right
    source = folder / "edited.c"
    source.write_text(text.replace(right, wrong), encoding="utf-8")
    subprocess.run(["cc", "-std=c99", "-o", folder / "edited", source], check=True)
    return folder / "edited"


def built(folder: Path, mistake: str = "") -> Path:
    """Build it, with sanitizers, or with one of the mistakes if one is named, and give the program."""
    return _compiled(folder, mistake)
