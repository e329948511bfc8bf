"""What holds for every test: what it needs is there or it says so, it leaves nothing in the temporary directory.

How long an example of hypothesis takes says nothing of it: the machine may have other things to do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

IN_CI = os.environ.get("CI") == "true"
"""Whether nothing may be missing: a test whose needs are not met fails there, elsewhere it is skipped."""

_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks: of what a test needs besides Python, make and a C compiler; of the steps it is about."""
    config.addinivalue_line("markers", "needs(*programs): skip the test where one is not on PATH; in CI, fail")
    config.addinivalue_line("markers", "campaign: takes long, and is left to make campaigns")
    config.addinivalue_line("markers", "reaches(*steps): fail the test where the reference did not report all of them")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the folder for temporary files, which is empty before and after each test."""
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    session.config.stash[_FOLDER] = factory.mktemp("temporary")


def lacking(what: str) -> NoReturn:
    """Skip a test because something is not there; in CI, fail."""
    if IN_CI:
        pytest.fail(f"in CI nothing may be missing: {what}", pytrace=False)
    pytest.skip(what)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Look for what the test needs; temporary files, those of its children too, go to a folder that is empty now."""
    missing = [name for mark in item.iter_markers("needs") for name in mark.args if shutil.which(name) is None]
    if missing:
        lacking(f"{', '.join(missing)} not found")
    _temporary(item.config.stash[_FOLDER])
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that did not reach the steps that it is about."""
    names = [name for mark in item.iter_markers("reaches") for name in mark.args]
    if not names:
        yield
        return
    from tests.marks import named, recorded

    wanted = named(names)
    with recorded() as steps:
        yield
    if missed := sorted(wanted - steps):
        pytest.fail(f"not reached: {', '.join(missed)}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test that left something in its temporary directory, when its fixtures are gone."""
    try:
        yield
    finally:
        _temporary(None)
    left = sorted(item.config.stash[_FOLDER].iterdir())
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if left:
        pytest.fail(f"left in the temporary directory: {', '.join(path.name for path in left)}", pytrace=False)


_BEFORE = os.environ.get("TMPDIR")


def _temporary(folder: Path | None) -> None:
    """Let temporary files go to a folder; None: to where they went before."""
    where = _BEFORE if folder is None else str(folder)
    if where is None:
        os.environ.pop("TMPDIR", None)
    else:
        os.environ["TMPDIR"] = where
    tempfile.tempdir = None
