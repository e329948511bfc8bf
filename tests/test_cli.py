"""The command line: exit codes, one line for what a user can mend, and what each command explains."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

import diagrams
from model.terms import ModelError
from proofs.second.asking import By
from refimpl.errors import FrontEndError
from vhost_inflight import cli, explain
from vhost_inflight.judging.crash.stops import Pair

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; give exit code, output and errors."""

    def runs(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vhost-inflight", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return runs


@pytest.mark.parametrize(
    "command",
    [
        "verify",
        "export",
        "replay",
        "list",
        "explain",
        "backend",
        "recover",
        "crash-test",
        "vectors",
        "check-vectors",
        "diagrams",
    ],
)
def test_every_command_has_help(run: Run, command: str) -> None:
    """Exit 0, and the help names the command."""
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"vhost-inflight {command}" in out


def test_the_list_of_commands_is_whole(run: Run) -> None:
    """A sentence for each command, none of them cut off."""
    _, out, _ = run("--help")
    lines = out.partition("Commands:\n")[2].splitlines()
    assert len(lines) >= 8
    assert not [line for line in lines if not line.endswith(".") or line.endswith("...")]


def test_no_command_is_help(run: Run) -> None:
    """Exit 2, and the commands are listed."""
    code, out, err = run()
    assert code == 2
    assert "crash-test" in out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["explain", "split.reconect.2"], "perhaps: split.reconnect.2"),
        (["explain", "--ring", "round"], "there is no ring 'round'; there are: split, packed"),
        (["explain", "packed.suply.7"], "perhaps: packed.supply.7"),
        (["explain", "--ring", "split", "packed.supply.7"], "perhaps: split.supply.7"),
        (["explain", "order", "--diff", "v6", "merged"], "either an ID or --diff"),
        (["explain", "--diff", "v6", "mergd"], "there is no revision 'mergd'; perhaps: merged"),
        (["backend", "--socket", "s", "--image", "i", "--gap", "reset"], "--gap wants NAME=CHOICE, not 'reset'"),
        (["backend", "--socket", "s", "--image", "i", "--gap", "a=b", "--gap", "a=c"], "--gap a is given twice"),
        (["backend", "--socket", "s", "--image", "i", "--queues", "0"], "0 queues; there can be 1 to 64"),
        (["backend", "--socket", "s", "--image", "i", "--queues", "x"], "argument --queues: invalid int value: 'x'"),
        (["backend", "--image", "i"], "the following arguments are required: --socket"),
        (["backend", "--soc", "s", "--image", "i"], "the following arguments are required: --socket"),
        (["crash-test", "--kills", "-1"], "--kills"),
        (["crash-test", "--kills", "0"], "--kills 0 is for --guest with --moves N"),
        (["crash-test", "--kills", "0", "--moves", "1"], "--kills 0 is for --guest with --moves N"),
        (["crash-test", "--kills", "0", "--guest"], "--kills 0 is for --guest with --moves N"),
        (["crash-test", "--kills", "0", "--guest", "--moves", "1", "--at", "split.supply.5"], "with --kills 0 nobody"),
        (["crash-test", "--kills", "0", "--guest", "--backend-cmd", "x", "--moves", "1"], "is for our own back-end"),
        (["crash-test", "--kills", "0", "--guest", "--moves", "1", "--queue-size", "2"], "a power of two, not 2"),
        (["crash-test", "--revision", "v7"], "there is no revision 'v7'; there are: v6, merged, hardened"),
        (["crash-test", "--queues", "2"], "--queues is for --guest, and for --stop, where others run on"),
        (["crash-test", "--stop", "drain", "--queues", "5"], "--queues"),
        (["crash-test", "--stop", "drain", "--queues", "2", "--record", "f"], "--stop is not for --guest, --free"),
        (["crash-test", "--at", "split.supply.5"], "--at, --qemu and --moves are for --guest"),
        (["crash-test", "--moves", "1"], "--at, --qemu and --moves are for --guest"),
        (["crash-test", "--guest", "--schedule", "file"], "not for --guest"),
        (["crash-test", "--stop", "drain", "--guest"], "--stop is not for --guest, --free, --schedule and --record"),
        (["crash-test", "--stop", "drain", "--free"], "--stop is not for --guest, --free, --schedule and --record"),
        (["crash-test", "--front-end-stop", "drain"], "--front-end-stop goes with --stop"),
        (["crash-test", "--stop", "skip"], "there is no generation 'skip'"),
        (["crash-test", "--backend-cmd", "x {socket} {image}"], "--backend-cmd is for --guest"),
        (["crash-test", "--guest", "--writers", "2"], "--writers is for --backend-cmd"),
        (["crash-test", "--guest", "--backend-cmd", "x", "--moves", "1"], "are for our own back-end"),
        (["crash-test", "--guest", "--backend-cmd", "x {socket}"], "the command has no {image}"),
        (["crash-test", "--guest", "--backend-cmd", "x {socket} {image}", "--at", "mixed-1"], "mixed-1 is no case"),
        (["crash-test", "--guest", "--queues", "5"], "--queues"),
        (["crash-test", "--guest", "--queue-size", "2"], "4 to 1024, a power of two, not 2"),
        (["crash-test", "--guest", "--at", "split.suply.5"], "perhaps: split.supply.5"),
        (["crash-test", "--guest", "--at", "split.supply.5:0"], "is not STEP[:N]"),
        (["crash-test", "--guest", "--at", "packed.supply.7"], "of merged on a split ring stores anything"),
        (["backend", "--socket", "s", "--image", "i", "--log-level", "loud"], "there are: error, info, debug"),
        (["backend", "--socket", "s", "--image", "i", "--crash-at", "packed.supply.7"], "packed rings are not offered"),
        (["verify", "--property", "ordre"], "there is no property 'ordre'; perhaps: order"),
        (["verify", "--gap", "reset"], "--gap wants NAME=CHOICE, not 'reset'"),
        (["verify", "--gap", "rest=kept"], "there is no gap 'rest'; perhaps: reset"),
        (
            ["verify", "--ring", "split", "--gap", "settle=wide"],
            "settle is one of the packed ring, not of the split ring",
        ),
        (["diagrams", "--out", __file__], "is a file"),
        (["crash-test", "--guest", "--gap", "settle=wide"], "--gap is not for --guest, which has the defaults"),
        (["crash-test", "--gap", "settle=wide", "--schedule", "x"], "the schedule says what is chosen"),
        (["crash-test", "--free", "--record", "x"], "--free leaves it to the processes"),
        (["crash-test", "--schedule", "x", "--record", "y"], "--record writes a schedule, and --schedule has one"),
        (["crash-test", "--guest", "--free"], "not for --guest, which always runs free"),
        (["crash-test", "--gap", "settle=wide"], "gap settle is one of the packed ring, not of the split ring"),
        (["crash-test", "--gap", "flags-of-others=in-order"], "gap flags-of-others is the model's alone"),
        (["crash-test", "--gap", "flags-of-other=any"], "there is no gap 'flags-of-other'"),
        (["crash-test", "--ring", "packed", "--gap", "reset=kept"], "not in hardened, the default of this ring"),
    ],
)
def test_bad_usage_is_exit_2(run: Run, arguments: list[str], message: str) -> None:
    """What is wrong is named, and what is near it."""
    code, out, err = run(*arguments)
    assert code == 2
    assert not out
    assert message in " ".join(err.split())


def test_the_gaps_are_those_of_the_ring(run: Run, tmp_path: Path) -> None:
    """A packed back-end knows the packed ring's gaps, a split one does not; hardened leaves few open."""
    files = ["backend", "--socket", str(tmp_path / "s"), "--image", str(tmp_path / "none")]
    _, _, err = run(*files, "--gap", "flags-order=in-order")
    assert "gap flags-order is one of the packed ring, not of the split ring" in err
    _, _, err = run(*files, "--packed", "--revision", "merged", "--gap", "flags-order=in-order")
    assert err.startswith(f"vhost-inflight: image {tmp_path}/none")
    _, _, err = run(*files, "--packed", "--gap", "settle=wide")
    assert err.startswith(f"vhost-inflight: image {tmp_path}/none")
    _, _, err = run(*files, "--packed", "--gap", "flags-order=in-order")
    assert "gap flags-order is open in revision v6 and merged only, not in hardened, the default of this ring" in err


def test_a_smaller_region_where_it_is_not_open_is_refused_with_what_is_safe(run: Run, tmp_path: Path) -> None:
    """Whoever asks for it has a front-end whose regions are too small: that can be mended, and is what is proved."""
    files = ["backend", "--socket", str(tmp_path / "s"), "--image", str(tmp_path / "none")]
    for gap in ("region-size=smaller", "packed.region-size=smaller"):
        code, _, err = run(*files, "--packed", "--gap", gap)
        assert (code, err.count("\n")) == (2, 1)
        assert "gap region-size is open in revision v6 and merged only, not in hardened" in err
        assert "QEMU: queue-size=1024" in err
        _, _, err = run(*files, "--packed", "--revision", "merged", "--gap", gap)  # the commands of docs/gaps.md
        assert err.startswith(f"vhost-inflight: image {tmp_path}/none")
    assert "queue-size" not in run(*files, "--revision", "hardened", "--gap", "region-size=larger")[2]


def test_an_unknown_gap_is_one_line(run: Run, tmp_path: Path) -> None:
    """The reference's own error, without a traceback."""
    code, _, err = run("backend", "--socket", str(tmp_path / "s"), "--image", str(tmp_path / "i"), "--gap", "a=b")
    assert code == 2
    assert err.startswith("vhost-inflight: ")
    assert "there is no gap 'a'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModelError("a table is wrong"), "vhost-inflight: a table is wrong\n"),
        (FrontEndError("a message is too long"), "vhost-inflight: the front-end: a message is too long\n"),
        (FileNotFoundError(2, "No such file or directory", "x.json"), "vhost-inflight: x.json: No such file or dir"),
        (OSError("no space"), "vhost-inflight: no space\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    """The errors of model, reference and system are told without a traceback, and the exit code is 2."""

    def fails(_: str) -> NoReturn:
        raise error

    monkeypatch.setattr(explain, "index", fails)
    code, out, err = run("explain")
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_pictures_without_graphviz_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The line says what to install."""

    def fails(_: Path) -> NoReturn:
        raise diagrams.RenderError("install Graphviz")

    monkeypatch.setattr(diagrams, "write", fails)
    assert run("diagrams", "--out", str(tmp_path)) == (2, "", "vhost-inflight: install Graphviz\n")


def test_pictures_are_named_as_they_are_written(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line for each file."""
    monkeypatch.setattr(diagrams, "write", lambda out: [out / "a.dot", out / "a.svg"])
    assert run("diagrams", "--out", str(tmp_path)) == (0, f"{tmp_path}/a.dot\n{tmp_path}/a.svg\n", "")


VERIFY: dict[str, Any] = {
    "ring": None,
    "revision": None,
    "property_name": None,
    "gaps": {},
    "search": False,
    "out": None,
    "write": None,
    "quiet": False,
    "by": By(),
    "with_readings": False,
    "with_profiles": False,
}
CRASH_TEST: dict[str, Any] = {
    "ring": "split",
    "revision": "merged",
    "queue_size": 4,
    "kills": 100,
    "gaps": {},
    "seed": 0,
    "free": False,
    "pair": None,
    "queues": 1,
    "jobs": 1,
    "schedule": None,
    "record": None,
    "json_file": None,
}


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 1)])
@pytest.mark.parametrize(
    ("arguments", "module", "told"),
    [
        ("verify", "proofs.verify", VERIFY),
        (
            (
                "verify --ring split --revision v6 --property order --gap reset=kept --gap batch-size=signed"
                " --search --out y"
            ),
            "proofs.verify",
            {
                "ring": "split",
                "revision": "v6",
                "property_name": "order",
                "gaps": {"reset": "kept", "batch-size": "signed"},
                "search": True,
                "out": Path("y"),
                "write": None,
                "quiet": False,
                "by": By(),
                "with_readings": False,
                "with_profiles": False,
            },
        ),
        ("verify --readings", "proofs.verify", VERIFY | {"with_readings": True}),
        ("verify --profiles", "proofs.verify", VERIFY | {"with_profiles": True}),
        ("verify --solver both --certify", "proofs.verify", VERIFY | {"by": By("both", certify=True)}),
        (
            "verify --gap settle=wide",
            "proofs.verify",
            VERIFY | {"ring": "packed", "gaps": {"settle": "wide"}},
        ),
        (
            "crash-test --schedule x.json",
            "vhost_inflight.judging.crash.command",
            CRASH_TEST | {"schedule": Path("x.json")},
        ),
        ("replay x.json", "vhost_inflight.judging.play.replay", {"": (Path("x.json"),), "json_file": None}),
        (
            "replay x.json --json -",
            "vhost_inflight.judging.play.replay",
            {"": (Path("x.json"),), "json_file": Path("-")},
        ),
        ("crash-test", "vhost_inflight.judging.crash.command", CRASH_TEST),
        (
            "crash-test --ring packed",
            "vhost_inflight.judging.crash.command",
            CRASH_TEST | {"ring": "packed", "revision": "hardened"},
        ),
        (
            "crash-test --ring packed --revision merged --json /dev/null",
            "vhost_inflight.judging.crash.command",
            CRASH_TEST | {"ring": "packed", "json_file": Path("/dev/null")},
        ),
        (
            "crash-test --gap settle=wide",
            "vhost_inflight.judging.crash.command",
            CRASH_TEST | {"gaps": {"settle": "wide"}},
        ),
        ("crash-test --free", "vhost_inflight.judging.crash.command", CRASH_TEST | {"free": True}),
        (
            "crash-test --stop skip-drain --queues 3",
            "vhost_inflight.judging.crash.command",
            CRASH_TEST | {"pair": Pair("skip-drain", "skip-drain"), "queues": 3},
        ),
        ("crash-test --record x", "vhost_inflight.judging.crash.command", CRASH_TEST | {"record": Path("x")}),
        (
            "crash-test --revision v6 --queue-size 8 --kills 9 --seed 7",
            "vhost_inflight.judging.crash.command",
            CRASH_TEST | {"revision": "v6", "queue_size": 8, "kills": 9, "seed": 7},
        ),
    ],
)
def test_yes_is_exit_0_and_a_checked_no_exit_1(
    *,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    module: str,
    told: dict[str, Any],
    answer: bool,
    code: int,
) -> None:
    """What does the work is told what was asked, and answers yes or no."""
    calls: list[dict[str, Any]] = []

    def works(*positional: Any, **named: Any) -> bool:
        calls.append(named | ({"": positional} if positional else {}))
        return answer

    fake = ModuleType(module)
    vars(fake)["run"] = works
    monkeypatch.setitem(sys.modules, module, fake)
    assert run(*arguments.split()) == (code, "", "")
    assert calls == [told]


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other exception keeps its traceback: it is a bug, not bad usage."""

    def fails(_: str) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(explain, "index", fails)
    monkeypatch.setattr(sys, "argv", ["vhost-inflight", "explain"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_as_a_module() -> None:
    """`python -m vhost_inflight` is the same command."""
    ran = subprocess.run(
        [sys.executable, "-m", "vhost_inflight", "explain", "order"], check=True, capture_output=True, text=True
    )
    assert ran.stdout.startswith("order: a property, as it is judged on the split ring\n")


def test_a_reader_who_stops_reading_gets_no_traceback() -> None:
    """`vhost-inflight explain | head -1`."""
    with subprocess.Popen(
        [sys.executable, "-m", "vhost_inflight", "explain", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
