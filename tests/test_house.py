"""The repository keeps its own rules: imports, documents, dependencies, commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools import links, wheel

ROOT = Path(__file__).parents[1]
PACKAGES = ("vhost_inflight", "model", "proofs", "refimpl", "diagrams")


def project() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def import_contracts(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the packages, or on the original."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], check=False, cwd=root, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the packages and pyproject.toml."""
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_import_contracts_are_kept() -> None:
    """Every contract, on the code as it is."""
    ran = import_contracts(ROOT)
    assert ran.returncode == 0, ran.stdout
    assert "0 broken" in ran.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model/interpret.py", "import z3"),
        ("model/interpret.py", "import refimpl.errors"),
        ("model/interpret.py", "import socket"),
        ("refimpl/choices.py", "import model.gaps"),
        ("refimpl/choices.py", "import rich"),
        ("proofs/search/breadth_first.py", "import refimpl.errors"),
        ("proofs/certificates/terms.py", "import z3"),
        ("proofs/certificates/check.py", "import cvc5"),
        ("proofs/certificates/check.py", "import proofs.induction.smtlib"),
        ("proofs/certificates/check.py", "import model.terms"),
        ("proofs/search/breadth_first.py", "import diagrams"),
        ("diagrams/__init__.py", "import refimpl.layout"),
    ],
)
def test_a_forbidden_import_breaks_a_contract(copy: Path, module: str, line: str) -> None:
    """The import is found, in a copy into which it has been written."""
    path = copy / module
    source = path.read_text(encoding="utf-8")
    path.write_text(f"{source}\n{line}\n", encoding="utf-8")
    try:
        ran = import_contracts(copy)
    finally:
        path.write_text(source, encoding="utf-8")
    assert ran.returncode == 1, ran.stdout
    importer = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert f"{importer} -> {line.removeprefix('import ')}" in ran.stdout


@pytest.mark.parametrize(
    ("module", "line", "one", "other"),
    [
        ("refimpl/wire/codec.py", "import refimpl.backend.server", "backend", "wire"),
        ("proofs/induction/solver.py", "import proofs.induction.kits", "kits", "solver"),
        ("vhost_inflight/judging/play/schedule.py", "import vhost_inflight.judging.crash.plan", "crash", "play"),
    ],
)
def test_a_circle_breaks_a_contract(copy: Path, module: str, line: str, one: str, other: str) -> None:
    """Two rooms, or two modules of one room, that import each other."""
    path = copy / module
    source = path.read_text(encoding="utf-8")
    path.write_text(f"{source}\n{line}\n", encoding="utf-8")
    try:
        ran = import_contracts(copy)
    finally:
        path.write_text(source, encoding="utf-8")
    assert ran.returncode == 1, ran.stdout
    circle = ran.stdout.partition("Broken contracts")[2]
    assert "import each other" in circle
    assert one in circle
    assert other in circle


def test_no_module_is_too_long() -> None:
    """A reader can hold 400 lines."""
    folders = (*PACKAGES, "tests", "tools")
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for f in folders for p in (ROOT / f).rglob("*.py")}
    assert {str(p): n for p, n in lengths.items() if n > 400} == {}


MODULES = {
    "### model/": "model", "### proofs/": "proofs", "### refimpl/": "refimpl",
    "### vhost_inflight/judging/": "vhost_inflight/judging", "### vhost_inflight/live/": "vhost_inflight/live",
    "### vhost_inflight/conformance/": "vhost_inflight/conformance",
    "### diagrams/": "diagrams",
}  # fmt: skip


def module_rows(text: str) -> dict[str, list[str]]:
    """Give the rows of the tables of modules in docs/architecture.md, by package."""
    rows: dict[str, list[str]] = {}
    for heading, package in MODULES.items():
        told = (
            text.split(f"\n{heading}, module by module\n")[1]
            .split("\n## ", maxsplit=1)[0]
            .split("\n### ", maxsplit=1)[0]
        )
        rows[package] = [line for line in told.splitlines() if line.startswith("| `")]
    return rows


def test_each_module_has_its_place_in_the_architecture() -> None:
    """Each module but those of a ring is named in its package's table, and no row is there twice."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    firsts = [line.split(" | ")[0] for line in text.split("\n## The model")[0].splitlines() if line.startswith("| `")]
    house = firsts[: firsts.index("| `terms.py`")]
    assert len(set(house)) == len(house)
    for package, rows in module_rows(text).items():
        names = [row.split(" | ")[0] for row in rows]
        assert len(set(names)) == len(names), package
        told = set(re.findall(r"`(\w+)(?:\.py)?`", "\n".join(rows)))
        paths = [path.relative_to(ROOT / package) for path in sorted((ROOT / package).rglob("*.py"))]
        there = {
            p.stem for p in paths if p.stem.strip("_") == p.stem.lstrip("_") and not {"split", "packed"} & set(p.parts)
        }
        assert there - told == set(), package


def test_a_list_of_changes_is_one_list() -> None:
    """No blank line stands between two changes, as a merge may leave one."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"\n(?:-|  ) ?[^\n]*\n\n- [^\n]*", text) == []


def test_the_readme_fits_a_screen_and_its_commands_exist() -> None:
    """At most 50 lines; each `make` command that it names is a target, each file that it links to is there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^ +make (\w+)", text, re.MULTILINE))
    assert {"verify", "test"} <= named
    assert named <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert len(text.splitlines()) <= 50


def test_links_lead_somewhere() -> None:
    """Every relative link of the documents."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert list(links.broken(pages)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A file that is not there, a heading that the page does not have; code and the web are left alone."""
    (tmp_path / "other.md").write_text("# A heading\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#a-heading) [c](https://example.org/x) `[d](nowhere.md)`\n"
        "[e](missing.md) ![f](missing.svg) [g](other.md#another)\n",
        encoding="utf-8",
    )
    assert list(links.broken([page])) == [
        f"{page}: there is no missing.md",
        f"{page}: there is no missing.svg",
        f"{page}: there is no heading other.md#another",
    ]


def names(requirements: list[str]) -> set[str]:
    """Give the names of requirements, without versions and extras."""
    return {re.split(r"[\[<>=~! ]", r)[0] for r in requirements} - {"vhost-inflight"}


def test_every_dependency_has_a_reason_and_a_version() -> None:
    """docs/dependencies.md names exactly those of pyproject.toml, and constraints.txt pins each that is installed."""
    told = project()
    needed = names(told["project"]["dependencies"])
    for extra in told["project"]["optional-dependencies"].values():
        needed |= names(extra)
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    reasons = {row.split()[0] for row in re.findall(r"^\| ([\w-]+.*?) \|", page, re.MULTILINE)} - {"package"}
    assert reasons == needed | names(told["build-system"]["requires"])
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()}
    assert needed <= pinned


def test_what_is_shipped_needs_no_tool_of_development() -> None:
    """What the packages import is the standard library, each other, or a dependency that comes with the wheel."""
    modules = {"z3-solver": "z3"}
    declared = project()["project"]
    extras = [*declared["optional-dependencies"]["render"], *declared["optional-dependencies"]["cvc5"]]
    allowed = names([*declared["dependencies"], *extras])
    allowed = {modules.get(name, name) for name in allowed} | set(PACKAGES) | set(sys.stdlib_module_names)
    found = {
        (str(path.relative_to(ROOT)), name)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {(path, name) for path, name in found if name not in allowed} == set()


def test_the_wheel_ships_the_packages_and_their_json(tmp_path: Path) -> None:
    """What a file of a package is, and what is none of ours."""
    for name in ("model/__init__.py", "proofs/recorded/split/order.json", "tests/test_x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    complete = ["model/__init__.py", "proofs/recorded/split/order.json", "vhost_inflight-0.1.dist-info/METADATA"]
    assert wheel.missing(complete, tmp_path) == []
    assert wheel.missing(["model/__init__.py", "tests/test_x.py"], tmp_path) == [
        "lacks proofs/recorded/split/order.json",
        "ships tests/test_x.py",
    ]


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our Makefile in another folder."""
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()
    return subprocess.run(["make", *arguments], check=False, cwd=folder, capture_output=True, text=True)


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    """A missing interpreter and one that is too old: the same clear message, nothing half made."""
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for python in (old, tmp_path / "missing"):
        ran = make(tmp_path, "test", f"PYTHON={python}")
        assert ran.returncode == 2
        assert f"Python 3.11 or later is needed; tried: {python}." in ran.stderr
        assert not (tmp_path / ".venv").exists()


def test_make_says_what_it_can_do(tmp_path: Path) -> None:
    """`make` alone installs nothing."""
    ran = make(tmp_path)
    assert ran.returncode == 0
    assert {"verify", "test", "lint", "docs", "bench"} <= set(ran.stdout.split())
    assert not (tmp_path / ".venv").exists()
