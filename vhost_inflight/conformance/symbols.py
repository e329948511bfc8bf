"""Function and line of an instruction, where the program has symbols and addr2line is at hand; else nothing is said."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Symbol", "symbols"]

_SECONDS: Final = 60
_LOAD: Final = 1


@dataclass(frozen=True, slots=True)
class Symbol:
    """What an instruction belongs to; "" is unknown. ``within`` are the functions that it was inlined into."""

    function: str = ""
    line: str = ""
    within: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it: function, file and line."""
        line = f" ({self.line})" if self.line else ""
        return f"{self.function or '?'}{line}"


def symbols(instructions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Symbol]:
    """Give what instructions, each a file and an offset in it, belong to."""
    by_module: dict[str, list[int]] = {}
    for module, offset in dict.fromkeys(instructions):
        by_module.setdefault(module, []).append(offset)
    found: dict[tuple[str, int], Symbol] = {}
    for module, offsets in by_module.items():
        found |= {(module, offset): Symbol() for offset in offsets}
        with contextlib.suppress(OSError, ValueError, struct.error, subprocess.SubprocessError):
            addresses = _addresses(Path(module), offsets)
            found |= {(module, offset): told for offset, told in _ask(module, addresses).items()}
    return found


def _addresses(module: Path, offsets: Iterable[int]) -> dict[int, int]:
    """Give the addresses, as an ELF file's symbols have them, of offsets in the file."""
    with module.open("rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02":
            return {}
        (where,) = struct.unpack_from("<Q", header, 32)
        size, number = struct.unpack_from("<HH", header, 54)
        file.seek(where)
        table = file.read(size * number)
    found: dict[int, int] = {}
    for entry in range(number):
        kind, _, begin, address, _, length = struct.unpack_from("<IIQQQQ", table, entry * size)
        if kind == _LOAD:
            found |= {each: each - begin + address for each in offsets if begin <= each < begin + length}
    return found


def _ask(module: str, addresses: dict[int, int]) -> dict[int, Symbol]:
    """Ask addr2line."""
    program = shutil.which("addr2line")
    if program is None or not addresses:
        return {}
    asked = [program, "-a", "-f", "-C", "-i", "-e", module, *(hex(address) for address in addresses.values())]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    blocks: list[list[str]] = []
    for line in said.splitlines():
        if line.startswith("0x"):
            blocks.append([])
        elif blocks:
            blocks[-1].append(line)
    return {offset: _symbol(block) for offset, block in zip(addresses, blocks, strict=True)}


def _symbol(block: list[str]) -> Symbol:
    """Read what was said of one address: function and line, the innermost first."""
    functions, lines = block[::2], block[1::2]
    if not functions or functions[0] == "??":
        return Symbol()
    line = lines[0].partition(" (")[0].rpartition("/")[2] if lines else ""
    return Symbol(functions[0], "" if line.startswith("??") else line, tuple(functions[1:]))
