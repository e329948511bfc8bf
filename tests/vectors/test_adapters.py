"""The adapters that are shipped, from their text to a verdict on the small set, as docs/vectors.md says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.vectors import c
from vhost_inflight.vectors import adapters

PAGE = (Path(__file__).parents[2] / "docs" / "vectors.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test have a folder of its own."""
    monkeypatch.chdir(tmp_path)


def inflight(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours."""
    program = [sys.executable, "-m", "vhost_inflight", *arguments]
    return subprocess.run(program, check=False, capture_output=True, text=True)


def written(name: str) -> Path:
    """Write an adapter's text to a file, as the page says."""
    printed = inflight("check-vectors", "--source", name)
    assert printed.returncode == 0, printed.stderr
    Path(name).write_text(printed.stdout, encoding="utf-8")
    return Path(name)


def counts(command: str, form: str) -> tuple[int, dict[str, Any]]:
    """Put the small set to an adapter; give the exit status, and how often each verdict was given."""
    ran = inflight("check-vectors", "--form", form, "--cmd", command, "--json", "report.json")
    assert "Traceback" not in ran.stderr, ran.stderr
    told: dict[str, Any] = json.loads(Path("report.json").read_text(encoding="utf-8"))["counts"]
    return ran.returncode, told


def test_the_reference_passes_the_small_set() -> None:
    program = shlex.quote(sys.executable)
    status, told = counts(f"{program} -m vhost_inflight.vectors.adapters.reference", "json")
    assert {word for word, number in told.items() if number} == {"pass"}
    assert status == 0


def test_the_reference_with_another_choice_passes_what_says_so() -> None:
    """settle=wide, said in ``ready``; a choice that no text leaves open fails, whether it is said or not."""
    program = f"{shlex.quote(sys.executable)} -m vhost_inflight.vectors.adapters.reference"
    status, told = counts(f"{program} settle=wide", "json")
    assert {word for word, number in told.items() if number} == {"pass"}
    assert status == 0


def test_the_recovery_in_c_passes_by_the_commands_of_the_page() -> None:
    """And a mistaken one does not."""
    written("recover.c")
    builds = re.findall(r"^    (cc .*)$", PAGE, re.MULTILINE)
    assert [("-Werror" in build, "MISTAKE" in build) for build in builds] == [(True, False), (False, True)]
    for build in builds:
        subprocess.run(shlex.split(build), check=True)
    status, told = counts("./adapter", "text")
    assert {word for word, number in told.items() if number} == {"pass"}
    assert status == 0
    assert counts("./mistaken", "text")[0] == 1


@pytest.mark.parametrize(
    ("compiler", "name", "build", "form"),
    [
        ("rustc", "split.rs", "rustc -D warnings -O --edition 2021 split.rs", "text"),
        ("go", "split.go", "go build split.go", "json"),
    ],
)
def test_what_has_split_rings_alone_passes_those(compiler: str, name: str, build: str, form: str) -> None:
    """Skipped, in CI too, where there is no such compiler: the page says so."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here: {name} is not compiled")
    written(name)
    caches = {"GOCACHE": str(Path("cache").resolve()), "GO111MODULE": "off"}
    subprocess.run(shlex.split(build), check=True, env=os.environ | caches)
    status, told = counts("./split", form)
    assert {word for word, number in told.items() if number} == {"pass", "unsupported"}
    assert status == 0


def test_the_page_names_every_adapter_and_every_mistake() -> None:
    """In its tables, each once."""
    assert re.findall(r"^\| `([\w.]+)` \|", PAGE.partition("## What you see")[0], re.MULTILINE) == [
        "recover.c",
        "split.rs",
        "split.go",
        "reference.py",
    ]
    assert set(adapters.SOURCES) == {"recover.c", "split.rs", "split.go", "reference.py"}
    assert re.findall(r"^\| `MISTAKE_(\w+)` \|", PAGE, re.MULTILINE) == list(c.MISTAKES)


def test_an_adapter_that_there_is_not_is_refused() -> None:
    ran = inflight("check-vectors", "--source", "recover.cc")
    assert ran.returncode == 2
    assert "there is no adapter 'recover.cc'; perhaps: recover.c" in ran.stderr
    assert "--cmd is missing" in inflight("check-vectors").stderr
