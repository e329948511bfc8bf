"""The back-end in C, built for tests."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import vhost_inflight.conformance

__all__ = ["SOURCE", "built", "changed", "command", "inflight", "stores_to_padding"]

SOURCE: Final = Path(vhost_inflight.conformance.__file__).with_name("backend.c")

_FLAGS: Final = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-g")
_SANITIZED: Final = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@cache
def built(folder: Path, mistake: str = "", *, sanitized: bool = False) -> Path:
    """Build it, with a mistake if one is named, and give the program."""
    program = folder / f"backend-{mistake or 'right'}{'-sanitized' * sanitized}"
    more = [*(_SANITIZED if sanitized else ("-O1",)), *([f"-DMISTAKE_{mistake}"] if mistake else [])]
    subprocess.run(["cc", *_FLAGS, *more, "-o", program, SOURCE], check=True)
    return program


def command(folder: Path, mistake: str = "", *, sanitized: bool = False) -> str:
    """Give the command that starts it."""
    return f"{built(folder, mistake, sanitized=sanitized)} {{socket}} {{image}}"


def changed(folder: Path, *pairs: str) -> str:
    """Build it from another source, in which, of each two, the second is in the place of the first; give the command.

    It is the one that starts the program.
    """
    text = SOURCE.read_text(encoding="utf-8")
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new, 1)
    text = text.replace('"../vectors/', f'"{SOURCE.parents[1]}/vectors/')
    source, program = folder / "changed.c", folder / "changed"
    source.write_text(text, encoding="utf-8")
    subprocess.run(["cc", *_FLAGS[:1], "-g", "-O1", "-o", program, source], check=True)
    return f"{program} {{socket}} {{image}}"


def stores_to_padding(folder: Path) -> str:
    """Build one that stores to its region's padding, behind the last entry, too; give the command that starts it."""
    place = "q->split = (void *)(region + number * region_stride(region_entries));"
    return changed(folder, place, f"{place} ((volatile uint8_t *)q->split)[180] = 7;")


def inflight(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours."""
    program = [sys.executable, "-m", "vhost_inflight", *arguments]
    return subprocess.run(program, check=False, capture_output=True, text=True, timeout=120)
