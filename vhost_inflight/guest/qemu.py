"""The QEMU that runs a guest: the one that is installed, one that is named, or Debian's of another release, beside it.

QEMU 7.2 (bookworm) and QEMU 10 (trixie) talk to a back-end in ways of their own (docs/guest.md), so a guest is run with
both. The one that is not installed is unpacked into a folder with all its libraries, and started by its own loader:
``python -m vhost_inflight.guest.qemu`` does that, and prints the programs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from refimpl.errors import InflightError, UsageError
from vhost_inflight.guest.prepare import QEMU_VARIABLE, MissingError, default_folder, missing_tools, run_program

__all__ = ["ANY_SIZE_SINCE", "RELEASES", "RING_MAX", "beside", "program", "ring_size", "version"]

NAME: Final = "qemu-system-x86_64"

RELEASES: Final[Mapping[int, str]] = MappingProxyType({7: "bookworm", 10: "trixie"})
"""The release of Debian that has a version of QEMU."""

ANY_SIZE_SINCE: Final = 10
"""The first version known to let a driver make a ring of up to RING_MAX entries, whatever queue-size says."""

RING_MAX: Final = 1024
"""The most entries of a ring under such a QEMU."""

_SHARE: Final = ("qemu", "seabios")
_LOADER: Final = "ld-linux-x86-64.so.2"


def program(given: Path | None = None) -> Path:
    """Return the program to run: ``given``, or VHOST_INFLIGHT_QEMU, or the installed one. Raises UsageError."""
    asked = given or os.environ.get(QEMU_VARIABLE)
    found = shutil.which(asked or NAME)
    if found is None:
        if asked:
            raise UsageError(f"QEMU: there is no program {asked}")
        raise UsageError(f"a guest needs {NAME}: apt-get install qemu-system-x86, or name one with --qemu")
    return Path(found)


@lru_cache
def version(qemu: Path) -> tuple[int, ...]:
    """Return the version that a QEMU says it has, such as (7, 2, 22). Raises UsageError when it says none."""
    said = run_program([qemu, "--version"], Path.cwd(), f"asking {qemu} for its version").decode("utf-8", "replace")
    number = re.search(r"QEMU emulator version (\d+(?:\.\d+)*)", said)
    if number is None:
        raise UsageError(
            f"{qemu} does not say that it is a 'QEMU emulator version': name a QEMU (--qemu, {QEMU_VARIABLE})"
        )
    return tuple(map(int, number.group(1).split(".")))


def ring_size(qemu: Path, asked: int | None) -> int:
    """Return the queue-size to give to a QEMU, so that the region has an entry for each that a ring may have.

    Left out it is 16, where QEMU keeps to that, and RING_MAX elsewhere. Raises UsageError for one that is too small.
    """
    told = version(qemu)
    if told[0] < ANY_SIZE_SINCE:
        return 16 if asked is None else asked
    if asked is not None and asked < RING_MAX:
        raise UsageError(
            f"QEMU {'.'.join(map(str, told))} lets a guest make rings of up to {RING_MAX} entries whatever queue-size "
            f"says, and asks for a region of queue-size: {asked} is too few; say {RING_MAX}"
        )
    return RING_MAX


def beside(major: int, folder: Path | None = None) -> Path:
    """Return QEMU of that version: the installed one, if it is, or Debian's, unpacked in ``folder`` once.

    Raises UsageError for a version that no known release has, MissingError when it cannot be had: it is downloaded by
    apt, from where the machine's own packages come from.
    """
    installed = shutil.which(NAME)
    if installed is not None and version(Path(installed))[0] == major:
        return Path(installed)
    if major not in RELEASES:
        known = " and ".join(map(str, RELEASES))
        raise UsageError(f"QEMU {major}: no release of Debian that has it is known; {known} can be had")
    place = (default_folder() if folder is None else folder) / f"qemu-{major}"
    if not (place / NAME).is_file():
        if missing := missing_tools(("apt-get", "dpkg")):
            raise MissingError(f"QEMU {major} is not here, and it needs more programs: {' '.join(missing)}")
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="qemu-", dir=place.parent) as temporary:
            _unpack(RELEASES[major], Path(temporary), place)
    return place / NAME


def _unpack(release: str, work: Path, place: Path) -> None:
    """Download QEMU of a release with all that it needs, and put it in its place; two who do so do no harm."""
    apt = _own_apt(release, work)
    what = f"QEMU of Debian {release}"
    run_program(["apt-get", "-q", "update"], work, f"looking up {what}", kind=MissingError, APT_CONFIG=apt)
    install = ["apt-get", "-q", "-y", "--no-install-recommends", "--download-only", "install", "qemu-system-x86"]
    run_program(install, work, f"downloading {what}", kind=MissingError, APT_CONFIG=apt)
    made = work / "made"
    root = made / "root"
    made.mkdir()
    for package in sorted((work / "cache" / "archives").glob("*.deb")):
        run_program(["dpkg", "-x", package, root], work, f"unpacking {package.name}")
    for each in set((root / "usr/share").iterdir()) - {root / "usr/share" / name for name in _SHARE}:
        shutil.rmtree(each)  # manuals and translations, half of it all
    there = place / "root"
    loader = there / next(root.rglob(_LOADER)).relative_to(root)
    libraries = ":".join(str(there / each) for each in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    data = [word for each in _SHARE for word in ("-L", str(there / "usr/share" / each))]
    started = shlex.join([str(loader), "--library-path", libraries, str(there / "usr/bin" / NAME), *data])
    script = made / NAME
    # exec: who kills the script kills QEMU
    script.write_text(f'#!/bin/sh\nexec {started} "$@"\n')
    script.chmod(0o755)
    if not (place / NAME).is_file():
        made.rename(place)


def _own_apt(release: str, work: Path) -> str:
    """Write a configuration for apt that knows one release and nothing installed, and return its path.

    The release is looked for where this machine has its own Debian packages from. What the machine knows and has
    installed is neither read nor changed, so that everything QEMU needs comes along. Raises MissingError.
    """
    wanted = ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages"]
    told = run_program(wanted, work, "asking apt for its sources", kind=MissingError).decode().splitlines()
    sources = [line.split("|") for line in told]
    archives = [uri for origin, codename, uri in sources if origin == "Debian" and "-" not in codename]
    if not archives:
        raise MissingError("apt knows no archive of Debian (apt-get update may help)")
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (work / "sources").write_text(f"deb [signed-by={keys}] {archives[0]} {release} main\n")
    (work / "status").touch()
    settings = {
        "Dir::Etc::sourcelist": work / "sources", "Dir::Etc::sourceparts": "-", "Dir::Etc::preferencesparts": "-",
        "Dir::State::lists": work / "lists", "Dir::State::status": work / "status", "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",
    }  # fmt: skip
    (work / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return str(work / "apt.conf")


if __name__ == "__main__":
    try:
        for each in RELEASES:
            here = beside(each)
            print(f"{here}: {'.'.join(map(str, version(here)))}")
    except InflightError as error:
        sys.exit(f"vhost-inflight: {error}")
