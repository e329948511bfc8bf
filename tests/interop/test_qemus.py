"""Which QEMU runs a guest, and what is asked of it: no guest is booted, so a script that says a version is enough."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from refimpl.errors import InflightError, UsageError
from vhost_inflight.guest import qemu
from vhost_inflight.guest.crash import guest_crash_test
from vhost_inflight.guest.prepare import MissingError, Parts, missing_tools

WAITS = f"exec {sys.executable} -c 'import time; time.sleep(600)'"
"""A script's last line, where no program but Python can be counted on."""


def says(folder: Path, text: str) -> Path:
    """Make a program that prints a text."""
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return path


def without_a_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing prepared that a guest boots, as none does."""
    for module in ("crash", "sides"):
        monkeypatch.setattr(f"vhost_inflight.guest.{module}.prepared", lambda **_: Parts(folder, folder))


OLD, NEW = "QEMU emulator version 7.2.22 (Debian 1:7.2)", "QEMU emulator version 10.0.13 (Debian 1:10.0.13)"


def test_version(tmp_path: Path) -> None:
    """It is what the program says; one that says none is no QEMU."""
    assert qemu.version(says(tmp_path, OLD)) == (7, 2, 22)
    (tmp_path / "other").mkdir()
    for text in ("hello", "true (GNU coreutils) 9.1, License GPLv3+: GNU GPL version 3 or later"):
        with pytest.raises(UsageError, match="does not say that it is a 'QEMU emulator version': name a QEMU"):
            qemu.version(says(tmp_path / "other", text))


@pytest.mark.parametrize(
    ("text", "asked", "size"), [(OLD, None, 16), (OLD, 4, 4), (OLD, 1024, 1024), (NEW, None, 1024), (NEW, 1024, 1024)]
)
def test_queue_size(tmp_path: Path, text: str, asked: int | None, size: int) -> None:
    """A region has to have an entry for each that a ring may have, so a newer QEMU is asked for its largest."""
    assert qemu.ring_size(says(tmp_path, text), asked) == size


def test_too_small_for_a_newer_qemu(tmp_path: Path) -> None:
    """That is said, with the size to ask for, before anything is started."""
    with pytest.raises(UsageError, match=r"QEMU 10\.0\.13 .* 16 is too few; say 1024"):
        qemu.ring_size(says(tmp_path, NEW), 16)


def test_too_small_for_a_newer_qemu_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash test refuses at once, and does not wait for a disk that cannot come."""
    without_a_kernel(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="say 1024"):
        guest_crash_test(ring="split", revision="merged", queue_size=16, qemu=says(tmp_path, NEW))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 0", r"QEMU ended with 0; .*nothing"),
        ("echo 'no such machine' >&2; exit 1", r"QEMU ended with 1; .*no such machine"),
        ("kill -KILL $$", r"QEMU ended with -9"),
        (f"echo 'DISK 1 bytes 1 queues 0'; {WAITS}", r"the guest does not use the packed ring"),
        (WAITS, r"DISK did not come within 1 seconds"),
    ],
)
def test_no_verdict_before_the_guest_has_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """No back-end was killed yet: that is for whoever runs QEMU to mend, and is no property that is violated."""
    path = says(tmp_path, OLD)
    path.write_text(f"#!/bin/sh\nif [ $1 = --version ]; then echo '{OLD}'; exit; fi\n{script}\n")
    without_a_kernel(tmp_path, monkeypatch)
    monkeypatch.setattr("vhost_inflight.guest.machine.BOOT", 1.0)
    with pytest.raises(UsageError, match=f"(?s)nothing was judged: .*--qemu.*{message}") as refused:
        guest_crash_test(ring="packed", revision="hardened", kills=1, qemu=path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("moves", "last"), [(0, "0/monitor"), (20, "20/incoming")])
def test_long_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int, last: str) -> None:
    """The longest of the sockets' paths is measured before anything starts; one byte less, and QEMU is started."""
    without_a_kernel(tmp_path, monkeypatch)
    path = says(tmp_path, OLD)
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as short:  # which leaves room, wherever tests run
        room = 107 - len(short) - len(f"//vhost-inflight-guest-12345678/{last}")
        for length, message in ((room + 1, "is too long, say a shorter one"), (room, "nothing was judged")):
            folder = Path(short) / ("x" * length)
            folder.mkdir()
            monkeypatch.setattr("tempfile.tempdir", str(folder))
            with pytest.raises(InflightError, match=message):
                guest_crash_test(ring="split", revision="merged", kills=1, moves=moves, qemu=path)
            assert list(folder.iterdir()) == []


def test_which_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is named wins over the environment's, that one over the installed one."""
    named = says(tmp_path, OLD)
    monkeypatch.setenv("VHOST_INFLIGHT_QEMU", "/bin/echo")
    assert qemu.program(named) == named
    assert qemu.program() == Path("/bin/echo")
    assert "qemu-system-x86" not in missing_tools()
    monkeypatch.setenv("VHOST_INFLIGHT_QEMU", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"there is no program .*none"):
        qemu.program()
    monkeypatch.delenv("VHOST_INFLIGHT_QEMU")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="apt-get install qemu-system-x86"):
        qemu.program()
    assert "qemu-system-x86" in missing_tools()


def test_no_release_has_it(tmp_path: Path) -> None:
    """A version that no release of Debian is known to have is refused."""
    with pytest.raises(UsageError, match="QEMU 3: no release"):
        qemu.beside(3, tmp_path)


def test_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without apt the reason is said, and nothing is left behind."""
    monkeypatch.setenv("PATH", "/nowhere")
    for major in qemu.RELEASES:
        with pytest.raises(MissingError, match=f"QEMU {major} is not here, and it needs more programs: apt dpkg"):
            qemu.beside(major, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_apt_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says last is passed on, and no half of a QEMU is left."""
    tools = tmp_path / "tools"
    tools.mkdir()
    apt = (
        'case "$*" in *indextargets*) echo "Debian|any|file:/none/" ;; *) echo "no such release" >&2; exit 100 ;; esac'
    )
    for name, script in {"apt-get": apt, "dpkg": "exit 0"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{Path(str(shutil.which('env'))).parent}")
    monkeypatch.setattr(qemu, "NAME", "qemu-that-nobody-has")
    with pytest.raises(MissingError, match="looking up QEMU of Debian trixie failed: no such release"):
        qemu.beside(10, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
