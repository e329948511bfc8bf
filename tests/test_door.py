"""The door: what `backend` and `recover` may import, one form of --json, and what all commands refuse."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tests.test_recover import interrupted, state
from vhost_inflight import __main__ as door
from vhost_inflight import cli
from vhost_inflight.recover import command

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("vhost-inflight")
ORDER = ROOT / "proofs" / "recorded" / "split" / "counterexamples" / "v6-order.json"

INSTALLING = {"_distutils_hack", "_virtualenv", "sitecustomize", "usercustomize", "org"}
"""What an environment brings along, and what Python's own copy module looks for and does not find (org.python.core)."""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command through the door, in this process and in a folder of its own; give exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def runs(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vhost-inflight", *arguments])
        with pytest.raises(SystemExit) as ended:
            door.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return runs


# Imports


def imported(*arguments: str) -> set[str]:
    """Return the modules that the installed program imports for a command."""
    ran = subprocess.run(
        [PROGRAM, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"},
    )
    lines = [line for line in ran.stderr.splitlines() if line.startswith("import time:")][1:]
    return {line.rpartition("|")[2].strip() for line in lines}


def allowed(names: set[str], *ours: str) -> bool:
    """Whether modules are Python's own, or among ours; or of the machinery that installs a checkout for development."""
    known = {*sys.stdlib_module_names, "refimpl", "vhost_inflight", *INSTALLING}
    others = {name for name in names if name.partition(".")[0] not in known and not name.startswith("__editable__")}
    assert not others
    mine = {name for name in names if name.startswith("vhost_inflight.")}
    return mine == {f"vhost_inflight.{name}" for name in ours}


def test_what_a_back_end_may_import() -> None:
    """Python's own modules and the reference: no command line library, no model, no solver, nothing that draws."""
    names = imported("backend", "--socket", "s", "--image", "/nowhere")
    assert "refimpl.backend.process" in names
    assert allowed(names, "__main__", "telling")
    assert not {name for name in names if name.startswith("refimpl.frontend")}
    assert not {"difflib", "importlib.metadata", "importlib.resources", "subprocess", "multiprocessing"} & names


def test_what_the_oracle_may_import(tmp_path: Path) -> None:
    """Likewise; no validator of schemas either: the form is checked by hand."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state(interrupted())))
    names = imported("recover", str(path))
    parts = (
        "answer",
        "asking",
        "block",
        "chains",
        "command",
        "did",
        "doubt",
        "given",
        "life",
        "lines",
        "memory",
        "raw",
        "record",
        "running",
        "stopped",
        "story",
        "story_packed",
        "story_split",
        "vector",
    )
    assert allowed(names, "__main__", "telling", "recover", *(f"recover.{name}" for name in (*parts, "used", "words")))
    assert not {
        name for name in names if name.startswith(("refimpl.frontend", "refimpl.wire", "refimpl.backend.server"))
    }
    assert not {"difflib", "importlib.metadata", "importlib.resources", "subprocess", "multiprocessing"} & names


def test_the_program_is_the_door() -> None:
    """What pip installs is what `python -m vhost_inflight` runs."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"vhost-inflight": "vhost_inflight.__main__:main"}


def test_the_version(run: Run) -> None:
    """That of the project."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert run("--version") == (0, f"vhost-inflight {version}\n", "")


# One form of --json


def options() -> Iterator[tuple[str, Any]]:
    """Yield each command's option --json, however it is read."""
    commands: Any = get_command(cli.app)
    for name, one in commands.commands.items():
        yield from ((name, option) for option in one.params if "--json" in option.opts)
    parser = command.parser("recover")
    yield from (("recover", option) for option in parser._actions if "--json" in option.option_strings)


def test_json_has_one_form() -> None:
    """It takes a FILE in every command, is a flag in none, and all say the same about it."""
    found = dict(options())
    assert {"verify", "replay", "explain", "crash-test", "recover"} <= found.keys()
    for option in found.values():
        assert option.metavar == "FILE"
        assert "- is standard output" in option.help
        flag = option.nargs == 0 if isinstance(option, argparse.Action) else option.is_flag
        assert not flag


WITH_JSON: dict[str, tuple[list[str], str]] = {
    "replay": ([str(ORDER)], "split, v6, the defaults of all gaps"),
    "explain": (["order"], "order: a property"),
    "explain --diff": (["--diff", "v6", "merged"], "--- v6, split ring"),
    "verify": (["--ring", "split", "--revision", "v6", "--property", "order"], "verdicts in"),
    "crash-test": (["--kills", "1"], "no property was violated"),
    "recover": (["state.json", "--explain"], "A split ring of 8"),
}


@pytest.mark.parametrize("name", WITH_JSON)
def test_json_goes_to_a_file_beside_the_words_or_instead_of_them(run: Run, tmp_path: Path, name: str) -> None:
    """With a file, words are printed as ever; with - JSON is all that is printed."""
    (tmp_path / "state.json").write_text(json.dumps(state(interrupted())))
    arguments, word = WITH_JSON[name]
    asked = [name.split(maxsplit=1)[0], *arguments]
    code, out, err = run(*asked, "--json", "answer.json")
    assert (code, err.strip()) == (0, "")
    assert word in out
    written = json.loads((tmp_path / "answer.json").read_text())
    code, out, _ = run(*[one for one in asked if one != "--explain"], "--json", "-")
    assert code == 0
    told = json.loads(out)
    assert type(told) is type(written)
    assert not isinstance(told, dict) or told.keys() == written.keys()


@pytest.mark.parametrize("name", [name for name in WITH_JSON if name != "recover"])
@pytest.mark.parametrize(("file", "why"), [("none/answer.json", "there is no such folder"), (".", "a folder")])
def test_a_file_that_cannot_be_written_is_found_before_the_work(run: Run, name: str, file: str, why: str) -> None:
    """Not after minutes of it."""
    arguments, word = WITH_JSON[name]
    code, out, err = run(name.split(maxsplit=1)[0], *arguments, "--json", file)
    assert (code, out) == (2, "")
    assert why in " ".join(err.split())
    assert word not in err


# What every reader of JSON refuses

BAD: dict[str, tuple[bytes, str]] = {
    "nested": (b"[" * 100_000 + b"]" * 100_000, "nested more than 100 levels deep"),
    "nested objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 100 levels deep"),
    "twice": (b'{"format": "x", "hold": 1, "hold": 2}', 'the key "hold" is there twice'),
    "long number": (b'{"hold": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    "no number": (b'{"hold": NaN}', "NaN is no number of JSON"),
    "no text": (b'{"hold": "\xff"}', "no JSON: byte 10 is no utf-8 text"),
    "empty": (b"", "no JSON: it is empty"),
    "cut": (b'{"hold": 1', "no JSON: "),
    "a list": (b"[1, 2, 3]", "[1, 2, 3]"),
    "a long list": (json.dumps([{"gap": "reset"}] * 1000).encode(), '[{"gap": "reset"}'),
}
READERS: dict[str, list[str]] = {
    "replay": ["replay", "FILE"],
    "recover": ["recover", "FILE"],
    "crash-test": ["crash-test", "--schedule", "FILE"],
    "backend": ["backend", "--socket", "socket", "--image", "image", "--schedule", "FILE"],
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", BAD)
def test_what_no_reader_takes(run: Run, tmp_path: Path, reader: str, kind: str) -> None:
    """One line with the file's name and what is wrong, exit 2, and no traceback."""
    content, why = BAD[kind]
    (tmp_path / "image").write_bytes(bytes(4096))
    (tmp_path / "bad.json").write_bytes(content)
    code, out, err = run(*("bad.json" if part == "FILE" else part for part in READERS[reader]))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("vhost-inflight: ")
    assert "bad.json: " in err
    if reader != "backend" or "list" not in kind:
        assert why in err
    assert len(err) < 300


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("name", "why"), [("none.json", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read(run: Run, tmp_path: Path, reader: str, name: str, why: str) -> None:
    """Likewise, with the system's word for it."""
    (tmp_path / "image").write_bytes(bytes(4096))
    code, out, err = run(*(name if part == "FILE" else part for part in READERS[reader]))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{name}: {why}" in err


# The oracle's input and output


def test_a_state_is_named_or_piped(run: Run, tmp_path: Path) -> None:
    """`recover FILE`, `recover -` and `recover < FILE` are the same; an error names the file."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state(interrupted())))
    code, out, err = run("recover", "state.json")
    assert (code, err) == (0, "")
    for arguments in (["recover"], ["recover", "-"]):
        with path.open() as content:
            piped = subprocess.run([PROGRAM, *arguments], check=True, stdin=content, capture_output=True, text=True)
        assert piped.stdout == out
    path.write_text(json.dumps(state(interrupted()) | {"ring": "round"}))
    assert run("recover", "state.json")[2] == 'vhost-inflight: state.json: at ring: "round" is none of split, packed\n'


def test_an_answer_does_not_overwrite_its_question(run: Run, tmp_path: Path) -> None:
    """Nor is it read from a file that is both."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state(interrupted())))
    before = path.read_text()
    code, _, err = run("recover", "state.json", "--json", "./state.json")
    assert (code, err) == (2, "vhost-inflight: --json state.json: the answer would overwrite the state\n")
    assert path.read_text() == before


def test_a_reader_who_stops_reading_gets_no_traceback(tmp_path: Path) -> None:
    """`vhost-inflight recover FILE | head -1`."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state(interrupted())))
    with subprocess.Popen(
        [PROGRAM, "recover", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stderr is not None
        one.stdout.close()
        assert one.stderr.read() == ""
        assert one.wait() == 2


def test_a_letter_that_the_terminal_has_not(tmp_path: Path) -> None:
    """Arrows become question marks; nothing ends by them."""
    ran = subprocess.run(
        [PROGRAM, "replay", str(ORDER)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert "region.version: 0 ? 1" in ran.stdout


def test_the_back_end_starts_without_the_solver(tmp_path: Path) -> None:
    """A back-end that serves has imported neither z3 nor rich, nor the model's tables."""
    image, socket = tmp_path / "image", tmp_path / "socket"
    image.write_bytes(bytes(4096))
    command = [sys.executable, "-X", "importtime", "-m", "vhost_inflight", "backend"]
    with subprocess.Popen(
        [*command, "--socket", str(socket), "--image", str(image)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            patience = time.monotonic() + 20
            while not socket.exists() and process.poll() is None and time.monotonic() < patience:
                time.sleep(0.02)
            assert socket.exists()
        finally:
            process.send_signal(signal.SIGTERM)
        imported = {line.split("|")[-1].strip() for line in process.stderr if line.startswith("import time:")}
    assert "refimpl.backend.process" in imported
    assert not {"z3", "rich", "model.steps", "hypothesis", "graphviz"} & imported
