"""What a guest is started from: Debian's kernel for virtual machines, and a file system with busybox and `load`.

Both are made once and kept in a folder: ``python -m vhost_inflight.guest.prepare`` makes them, and so does whoever
needs them first. The kernel is downloaded from where apt looks and unpacked, not installed.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from refimpl.errors import InflightError, UsageError

__all__ = [
    "MODULES",
    "QEMU_VARIABLE",
    "MissingError",
    "Parts",
    "default_folder",
    "missing_tools",
    "prepared",
    "run_program",
]

MODULES: Final = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
)
"""The kernel's modules that the guest loads, in this order."""

QEMU_VARIABLE: Final = "VHOST_INFLIGHT_QEMU"
"""The environment variable that names another QEMU than the installed one."""

TOOLS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "cc": "gcc",
    "dpkg": "dpkg",
    "apt-get": "apt",
    "apt-cache": "apt",
}
"""The programs that are needed, and the Debian packages that have them."""

KERNEL: Final = "linux-image-cloud-amd64"
"""The package that depends on the newest kernel for virtual machines."""


class MissingError(InflightError):
    """Something that a guest is made of is not on this machine. Raised by `prepared`; the text says how to get it."""


@dataclass(frozen=True)
class Parts:
    """What QEMU starts: files of a kernel and of an initial file system."""

    kernel: Path
    initrd: Path


def missing_tools(tools: Iterable[str] = TOOLS) -> list[str]:
    """Return the Debian packages that have to be installed before a guest can be started, or those of some ``tools``.

    QEMU is not missing where VHOST_INFLIGHT_QEMU names one.
    """
    named = {"qemu-system-x86_64"} if os.environ.get(QEMU_VARIABLE) else set()
    return sorted({TOOLS[tool] for tool in tools if tool not in named and shutil.which(tool) is None})


def default_folder() -> Path:
    """Return where the parts are kept: VHOST_INFLIGHT_GUEST, or a folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VHOST_INFLIGHT_GUEST") or Path(cache) / "vhost-inflight" / "guest")


def prepared(folder: Path | None = None, *, qemu: Path | None = None) -> Parts:
    """Return the parts in ``folder``, made first if they are not there or older than their sources.

    Raises MissingError when a program is missing, naming the package, and when the kernel cannot be had; UsageError
    when the parts cannot be made. QEMU is not missing where ``qemu`` is named.
    """
    if missing := missing_tools(set(TOOLS) - ({"qemu-system-x86_64"} if qemu else set())):
        raise MissingError(f"a guest needs more programs: apt-get install {' '.join(missing)}")
    folder = default_folder() if folder is None else folder
    parts = Parts(folder / "vmlinuz", folder / "initrd")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-guest-") as temporary:
        work = Path(temporary)
        modules = folder / "modules"
        if not parts.kernel.is_file() or not all((modules / f"{name}.ko").is_file() for name in MODULES):
            _fetch_kernel(work, parts.kernel, modules)
        newest = max(_source(name).stat().st_mtime for name in ("load.c", "init.sh"))
        if not parts.initrd.is_file() or parts.initrd.stat().st_mtime < newest:
            _pack(work, modules, parts.initrd)
    return parts


def _source(name: str) -> Path:
    return Path(str(files("vhost_inflight.guest").joinpath(name)))


def run_program(
    command: Sequence[str | Path],
    folder: Path,
    what: str,
    data: bytes | None = None,
    kind: type[InflightError] = UsageError,
    **variables: str,
) -> bytes:
    """Run a program and return what it prints; ``variables`` are added to its environment.

    Raises the kind of error with its last line when it fails.
    """
    try:
        done = subprocess.run(
            list(command), cwd=folder, input=data, capture_output=True, check=False, env=os.environ | variables
        )
    except OSError as error:
        raise kind(f"{what} failed: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"])[-1]
        raise kind(f"{what} failed: {said}")
    return done.stdout


def _fetch_kernel(work: Path, kernel: Path, modules: Path) -> None:
    """Download and unpack the kernel, and keep its image and the modules."""
    looking = "looking up the kernel (apt-get update may help)"
    told = run_program(["apt-cache", "depends", KERNEL], work, looking, kind=MissingError)
    names = [line.split()[-1] for line in told.decode().splitlines() if "Depends: linux-image" in line]
    if not names:
        raise MissingError(f"no package that {KERNEL} depends on is known; apt-get update may help")
    downloading = f"downloading {names[0]} (apt-get update may help)"
    run_program(["apt-get", "-q", "download", names[0]], work, downloading, kind=MissingError)
    unpacked = work / "unpacked"
    run_program(["dpkg", "-x", next(work.glob("*.deb")), unpacked], work, f"unpacking {names[0]}")
    modules.mkdir(exist_ok=True)
    for name in MODULES:
        found = next(unpacked.rglob(f"{name}.ko*"), None)
        if found is None:
            raise UsageError(f"{names[0]} has no module {name}")
        content = found.read_bytes()
        (modules / f"{name}.ko").write_bytes(lzma.decompress(content) if found.suffix == ".xz" else content)
    _move(next(unpacked.glob("boot/vmlinuz-*")), kernel)


def _pack(work: Path, modules: Path, initrd: Path) -> None:
    """Make the initial file system: busybox, the modules, `load`, and the script that runs first."""
    root = work / "root"
    for name in ("bin", "modules"):
        (root / name).mkdir(parents=True)
    busybox = Path(str(shutil.which("busybox")))
    if b"not a dynamic executable" not in _ldd(busybox):
        raise MissingError(f"{busybox} is linked dynamically: apt-get install busybox-static")
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in MODULES:
        shutil.copy(modules / f"{name}.ko", root / "modules")
    (root / "modules" / "order").write_text("\n".join(f"{name}.ko" for name in MODULES) + "\n")
    run_program(["cc", "-O2", "-static", "-o", root / "load", _source("load.c")], work, "compiling load.c")
    shutil.copy(_source("init.sh"), root / "init")
    (root / "init").chmod(0o755)
    names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    archive = work / "initrd"
    archive.write_bytes(run_program(["cpio", "-o", "-H", "newc", "--quiet"], root, "packing", names.encode()))
    _move(archive, initrd)


def _ldd(program: Path) -> bytes:
    done = subprocess.run(["ldd", str(program)], capture_output=True, check=False)
    return done.stdout + done.stderr


def _move(made: Path, wanted: Path) -> None:
    """Put a file in its place at once, so that another process never finds half of it."""
    beside = wanted.with_name(f"{wanted.name}.{os.getpid()}")
    shutil.copy(made, beside)
    beside.replace(wanted)


if __name__ == "__main__":
    try:
        ready = prepared()
    except InflightError as error:
        sys.exit(f"vhost-inflight: {error}")
    print(f"{ready.kernel}\n{ready.initrd}")
