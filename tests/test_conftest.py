"""What the tests' own house promises: a leak fails the test that leaks, and what is missing is said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEAKS = """
import os, tempfile
from pathlib import Path
import pytest

def test_leaves_a_folder():
    tempfile.mkdtemp(prefix="left-")

def test_leaves_a_file_by_a_child():
    os.system("mktemp > /dev/null")

def test_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with tempfile.TemporaryDirectory() as name:
        assert Path(name).parent == Path(os.environ["TMPDIR"])

@pytest.mark.needs("no-such-program")
def test_needs():
    raise AssertionError
"""


def run_pytest(folder: Path, where: str, scratch: Path, **environment: str) -> str:
    """Run pytest in a folder, and return what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={scratch}", where]
    known = {name: value for name, value in os.environ.items() if name != "CI"}
    ran = subprocess.run(command, cwd=folder, env=known | environment, capture_output=True, text=True, check=False)
    return ran.stdout


@pytest.mark.parametrize(("ci", "ended"), [("", "3 passed, 1 skipped, 2 errors"), ("true", "3 passed, 3 errors")])
def test_leaks_and_needs(tmp_path: Path, ci: str, ended: str) -> None:
    """A test that leaves something in the temporary directory fails; one that needs what is not there skips, or not."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(LEAKS)
    said = run_pytest(tmp_path, "test_it.py", tmp_path / "scratch", CI=ci)
    assert ended in said
    assert "left in the temporary directory: left-" in said
    assert ("in CI nothing may be missing: no-such-program not found" in said) == bool(ci)


MARKED = """
import pytest
from tests.refimpl.rig import Rig

@pytest.mark.reaches("split.start.fresh", "split.init.*")
def test_reaches():
    Rig().queue().start()

@pytest.mark.reaches("split.start.adopt")
def test_does_not():
    Rig().queue().start()
"""


def test_steps_that_are_not_reached(tmp_path: Path) -> None:
    """A test that is about a step fails where it is not reached, though nothing in it does."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(MARKED)
    said = run_pytest(tmp_path, "test_it.py", tmp_path / "scratch", PYTHONPATH=str(ROOT))
    assert "1 failed, 1 passed" in said
    assert "not reached: split.start.adopt" in said


@pytest.mark.parametrize(("ci", "ended"), [("", "skipped"), ("true", "(?:errors|failed)")])
def test_without_qemu(tmp_path: Path, ci: str, ended: str) -> None:
    """README asks for Python, make and a C compiler: without QEMU the tests with a guest skip; in CI they fail."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("cc", "make", "as", "ld"):
        (programs / name).symlink_to(str(shutil.which(name)))
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as scratch:  # the names of sockets are short
        said = run_pytest(ROOT, "tests/interop", Path(scratch), PATH=str(programs), CI=ci,
                          VHOST_INFLIGHT_GUEST=str(tmp_path / "guest"))  # fmt: skip
    last = said.splitlines()[-1]
    assert sum(int(number) for number in re.findall(rf"(\d+) {ended}", last)) >= 12
    assert ci or not re.search("failed|errors", last)
    assert "a guest needs more programs: apt-get install" in said
    assert "qemu-system-x86_64 not found" in said
