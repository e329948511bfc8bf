"""Build back-ends of others from Debian's packages: ``python -m vhost_inflight.conformance.foreign.prepare [NAME]``.

- qemu: contrib/vhost-user-blk with libvhost-user, from the source package of the release that runs.
- dpdk: dpdk.c, which is ours, on librte_vhost as installed; the headers are unpacked from libdpdk-dev.
- storage: qemu-storage-daemon as installed.

What is made is kept in a folder, and each is printed with the command that starts it. Exit 2: something is missing, or
cannot be had, and which package has it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from refimpl.errors import InflightError, UsageError
from refimpl.names import no_such
from vhost_inflight.guest.prepare import MissingError, default_folder, run_program
from vhost_inflight.telling import ended

__all__ = ["BACK_ENDS", "backend_command", "built", "main"]

_HERE: Final = Path(__file__).parent
_FLAGS: Final = ("-O2", "-g", "-pthread")
_PARTS: Final = ("*/contrib/vhost-user-blk/*", "*/subprojects/libvhost-user/*", "*/include/*")


def _folder() -> Path:
    folder = default_folder().parent / "foreign"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _need(**tools: str) -> None:
    """Raise MissingError for programs, or files, that are not there, naming the Debian packages that have them."""
    missing = {package for tool, package in tools.items() if shutil.which(tool.replace("_", "-")) is None}
    if missing:
        raise MissingError(f"a back-end of others needs more: apt-get install {' '.join(sorted(missing))}")


def _sources(release: str) -> Iterator[str]:
    """Give the lines of apt's sources that Debian's own packages come from, asking for source packages."""
    for path in sorted([Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if path.suffix == ".sources":
            for block in text.split("\n\n"):
                fields = dict(
                    line.split(":", 1) for line in block.splitlines() if ":" in line and line[0] not in "# \t"
                )
                signed = f" [signed-by={fields['Signed-By'].strip()}]" if "Signed-By" in fields else ""
                for suite in fields.get("Suites", "").split():
                    if suite.split("-")[0] == release and "deb" in fields.get("Types", "").split():
                        yield f"deb-src{signed} {fields['URIs'].strip()} {suite} {fields['Components'].strip()}"
        else:
            for line in text.splitlines():
                words = line.split()
                if words[:1] == ["deb"] and any(word.split("-")[0] == release for word in words):
                    yield f"deb-src {line.split(None, 1)[1]}"


def _source_package(name: str, folder: Path) -> Path:
    """Download the source package of this release, and return its original archive. Raises MissingError."""
    told = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    lines = list(_sources(told.get("VERSION_CODENAME", "").strip('"')))
    if not lines:
        raise MissingError("apt knows no sources of Debian: a back-end of others is built on Debian alone")
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={folder / 'sources.list'}", "-o", "Dir::Etc::sourceparts=-"]
    apt += ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", "APT::Sandbox::User=root"]
    run_program([*apt, "update"], folder, "looking for source packages", kind=MissingError)
    run_program(
        [*apt, "source", "--download-only", name], folder, f"downloading the source of {name}", kind=MissingError
    )
    return next(folder.glob(f"{name}_*.orig.tar.*"))


def _qemu() -> str:
    """Build QEMU's contrib/vhost-user-blk."""
    program = _folder() / "vhost-user-blk"
    if not program.exists():
        _need(cc="gcc", tar="tar", xz="xz-utils", pkg_config="pkg-config libglib2.0-dev")
        with tempfile.TemporaryDirectory(prefix="vhost-inflight-foreign-") as temporary:
            work = Path(temporary)
            archive = _source_package("qemu", work)
            run_program(["tar", "-xf", archive, "--wildcards", *_PARTS], work, "unpacking QEMU")
            root = next(path.parent for path in work.glob("*/contrib"))
            (work / "stub" / "qemu").mkdir(parents=True)
            shutil.copy(_HERE / "osdep.h", work / "stub" / "qemu" / "osdep.h")
            glib = ["pkg-config", "--cflags", "--libs", "glib-2.0"]
            options = run_program(glib, work, "looking for libglib2.0-dev", kind=MissingError).decode().split()
            library = root / "subprojects" / "libvhost-user"
            files = [
                root / "contrib" / "vhost-user-blk" / "vhost-user-blk.c",
                *sorted(library.glob("libvhost-user*.c")),
            ]
            include = [f"-I{work / 'stub'}", f"-I{library}", f"-I{root / 'include'}"]
            made = work / "program"
            compiler: list[str | Path] = ["cc", *_FLAGS, "-D_GNU_SOURCE", *include, "-o", made, *files, *options]
            run_program(compiler, work, "building vhost-user-blk")
            shutil.move(made, program)
    return f"{program} -s {{socket}} -b {{image}}"


def _dpdk() -> str:
    """Build dpdk.c on librte_vhost."""
    program = _folder() / "dpdk"
    source = _HERE / "dpdk.c"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        _need(cc="gcc", dpkg="dpkg")
        libraries = {name: sorted(Path("/usr/lib").glob(f"*/librte_{name}.so.[0-9][0-9]")) for name in ("vhost", "eal")}
        if not all(libraries.values()) or not Path("/usr/include/bsd").exists():
            raise MissingError("a back-end on DPDK needs more: apt-get install libbsd-dev '?name(^librte-vhost[0-9])'")
        with tempfile.TemporaryDirectory(prefix="vhost-inflight-foreign-") as temporary:
            work = Path(temporary)
            run_program(
                ["apt-get", "-qq", "download", "libdpdk-dev"], work, "downloading libdpdk-dev", kind=MissingError
            )
            run_program(["dpkg", "-x", next(work.glob("*.deb")), "."], work, "unpacking libdpdk-dev")
            include = [f"-I{path}" for path in work.glob("usr/include/**/dpdk")]
            made = work / "program"
            found = [f"-l:{paths[-1].name}" for paths in libraries.values()]
            compiler: list[str | Path] = [
                "cc",
                *_FLAGS,
                "-msse4.2",
                "-DALLOW_EXPERIMENTAL_API",
                *include,
                "-o",
                made,
                source,
                *found,
            ]
            run_program(compiler, work, "building dpdk.c")
            shutil.move(made, program)
    return f"{program} {{socket}} {{image}}"


def _storage() -> str:
    """Name qemu-storage-daemon as installed."""
    _need(qemu_storage_daemon="qemu-system-common")
    return (
        "qemu-storage-daemon --blockdev driver=file,node-name=disk,filename={image} --export "
        "type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path={socket}"
    )


BACK_ENDS: Final[Mapping[str, Callable[[], str]]] = {"qemu": _qemu, "dpdk": _dpdk, "storage": _storage}
"""What makes each back-end, and gives the command that starts it."""


def backend_command(name: str) -> str:
    """Return the command that starts a back-end, made first if it is not there. Raises MissingError and UsageError."""
    if name not in BACK_ENDS:
        raise UsageError(no_such("back-end", name, list(BACK_ENDS)))
    return BACK_ENDS[name]()


def built(name: str) -> bool:
    """Return whether a back-end is there already."""
    file = {"qemu": "vhost-user-blk", "dpdk": "dpdk"}.get(name)
    return shutil.which("qemu-storage-daemon") is not None if file is None else (_folder() / file).exists()


def main(names: Sequence[str]) -> bool:
    """Make back-ends, all if none is named, and print their commands. Raises InflightError."""
    for name in names or BACK_ENDS:
        print(f"{name}: {backend_command(name)}", flush=True)
    return True


if __name__ == "__main__":
    ended(lambda: main(sys.argv[1:]), InflightError)
