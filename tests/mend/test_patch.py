"""`mend`: a patch of somebody's own copy of the text, whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model import protocol
from model.proposal import Mend
from vhost_inflight.mend.command import run
from vhost_inflight.mend.patch import HEAD, mended, series, split_lines
from vhost_inflight.mend.places import ShapeError, flat

CHAPTER = (Path(__file__).parent / "chapter.rst").read_text(encoding="utf-8")
MENDS = protocol.mends()
SENTENCES = [s for ring in protocol.RINGS for s in protocol.sentences(ring)]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Mend a copy as the command does, from the root of a work tree; give exit code, patch and messages."""
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)

    def mends(text: str, *only: str, name: str = "docs/text.rst") -> tuple[int, str, str]:
        Path(name).write_bytes(text.encode())
        code = run(Path(name), only)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return mends


def all_mended(text: str, *only: str) -> str:
    """Mend a copy in memory."""
    lines = split_lines(text)
    for one in MENDS.values():
        lines = mended(lines, one) if not only or one.name in only else lines
    return "".join(lines)


def applied(program: list[str], folder: Path, patch: str) -> None:
    """Apply a patch with a program that takes one; where the machine has none, say so."""
    if shutil.which(program[0]) is None:
        assert not os.environ.get("CI"), f"{program[0]} is missing"
        pytest.skip(f"{program[0]} is missing: apt-get install {program[0]}")
    done = subprocess.run(program, check=False, cwd=folder, input=patch, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("program", [["patch", "-p1", "--fuzz=0"], ["git", "apply"]], ids=["patch", "git"])
@pytest.mark.parametrize("only", [None, *MENDS])
def test_the_patch_applies(mend: Run, tmp_path: Path, program: list[str], only: str | None) -> None:
    """All of it, and each mend alone; the file is then the copy with those mends, and has nothing left to mend."""
    names = (only,) if only else ()
    code, patch, _ = mend(CHAPTER, *names)
    assert code == 0
    applied(program, tmp_path, patch)
    got = (tmp_path / "docs" / "text.rst").read_text(encoding="utf-8")
    needed = (*names, *MENDS[only].needs) if only else ()
    assert got == all_mended(CHAPTER, *needed) != CHAPTER
    assert mend(got, *names)[:2] == (0, "")


def test_every_sentence_is_there() -> None:
    """Each sentence of the proposal stands in a mended copy, word for word; nothing of the copy is lost but items."""
    text = all_mended(CHAPTER)
    assert [s for s in SENTENCES if flat(s.text(MENDS)) not in flat(text)] == []
    assert text.count(HEAD) == 2
    lost = [line for line in CHAPTER.splitlines() if line.strip() and line not in text]
    items = {(ring, s.place, s.number) for ring in protocol.RINGS for s in protocol.sentences(ring) if s.text()}
    assert len([line for line in lost if line.lstrip().startswith(("#.", "a."))]) == len(items)


def test_a_mend_is_a_diff_with_its_name(mend: Run) -> None:
    """One part for each mend, in order, each line with the mend's name behind its numbers."""
    _, patch, _ = mend(CHAPTER)
    heads = [line for line in patch.splitlines() if line.endswith(tuple(MENDS)) and line.startswith("@@ ")]
    assert list(dict.fromkeys(line.rpartition(" ")[2] for line in heads)) == list(MENDS)
    assert patch.count("--- a/docs/text.rst\n+++ b/docs/text.rst\n") == len(MENDS)
    whole = mend(CHAPTER, "whole-ring")[1]
    assert whole.count("\n@@ ") == 1
    removed = [line for line in whole.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert removed == ["-#. Where ``used_idx`` is not ``old_used_idx`` (so that", "-   ``inflight`` may be stale),"]


def test_what_needs_another_brings_it(mend: Run) -> None:
    """half-settled does harm without half-rolled-back, which comes first."""
    _, patch, said = mend(CHAPTER, "half-settled")
    assert patch.index("@@ half-rolled-back") < patch.index("@@ half-settled")
    assert "half-rolled-back comes with half-settled, which does harm without it" in said
    assert "comes with" not in mend(CHAPTER, "whole-ring")[2]


def test_mends_in_any_order() -> None:
    """However the mends are given, one after the other, each item comes to the same words."""
    lines = split_lines(CHAPTER)
    for one in reversed(MENDS.values()):
        lines = mended(lines, one)
    text = "".join(lines)
    assert [s for s in SENTENCES if flat(s.text(MENDS)) not in flat(text)] == []


def shapes() -> Iterator[tuple[str, str]]:
    """Yield copies that are written otherwise, and are as good."""
    yield "numbers", numbered(CHAPTER)
    yield "line ends", CHAPTER.replace("\n", "\r\n")
    yield "no last line end", CHAPTER.partition("\nWhat comes after")[0].rstrip("\n")
    yield "no backticks", CHAPTER.replace("``", "")
    yield "packed first", swapped(CHAPTER)
    yield (
        "a line at the margin",
        CHAPTER.replace("\n   ``old_free_head``, ``old_used", "\n``old_free_head``, ``old_used"),
    )
    yield "another level", CHAPTER.replace("-" * 42, "~" * 42)


def numbered(text: str) -> str:
    """Write each item's number by hand; of items within items, letters in parentheses."""
    lines, count, sub = text.split("\n"), 0, 0
    for n, line in enumerate(lines):
        if line.startswith("When "):
            count = 0
        elif line.startswith(("#. ", "1. ", "2. ", "3. ", "4. ")):
            count, sub = count + 1, 0
            lines[n] = f"{count}. {line[3:]}"
        elif line.startswith(("   #. ", "   a. ")):
            sub += 1
            lines[n] = f"   ({'abcd'[sub - 1]}) {line[6:]}"
    return "\n".join(lines)


def swapped(text: str) -> str:
    """Put the part of the packed ring first."""
    before, split, rest = text.partition("For split virtqueue")
    of_split, packed, rest = rest.partition("For packed virtqueue")
    of_packed, after, rest = rest.partition("What comes after")
    return before + packed + of_packed + split + of_split + after + rest


@pytest.mark.parametrize("text", [s for _, s in shapes()], ids=[name for name, _ in shapes()])
def test_copies_of_other_shapes(mend: Run, tmp_path: Path, text: str) -> None:
    """Their own numbers, indentation, line ends and marks are kept."""
    code, patch, said = mend(text)
    assert code == 0, said
    applied(["git", "apply", "--whitespace=nowarn"], tmp_path, patch)
    got = (tmp_path / "docs" / "text.rst").read_bytes().decode()
    assert [s for s in SENTENCES if flat(s.text(MENDS)) not in flat(got)] == []
    assert ("``" in got) == ("``" in text)
    assert got.count("\r") == (got.count("\n") if "\r" in text else 0)


# A copy that is not shaped as expected.


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Inflight requests and how they are tracked", "Requests ....................................",
         "looked for a chapter on inflight tracking among 4 underlined titles, and found none"),
        ("For packed virtqueue", "For the other ring",
         "looked for a paragraph that begins 'For packed virtqueue' in the chapter of lines 19 to 159, and found none"),
        ("When supplying buffers that are used:\n\n1. Take a descriptor", "Then:\n\n1. Take a descriptor",
         "looked for the list behind 'When supplying ...:', for the packed virtqueue in lines"),
        ("When reconnecting:\n\n#. Where ``used_idx`` is not the", "Then:\n\n#. Where ``used_idx`` is not the",
         "the list behind 'When reconnecting ...:', for the split virtqueue in lines 28 to 78, and found none"),
        ("   #. Where ``d.flags`` look otherwise", "   Where ``d.flags`` look otherwise",
         "item 1(c) of the list behind 'When reconnecting ...:', for the packed virtqueue, which has 1, 1(a), 1(b), 2"),
        ("#. Write ``d.flags``", "#. Publish",
         "looked for a sentence about d.flags; it lacks d.flags"),
        ("#. Let ``free_head``, ``used_idx``, ``used_wrap_counter`` be",
         "#. Think\n\n#. Let ``free_head``, ``used_idx``, ``used_wrap_counter`` be",
         "about free_head, used_idx, used_wrap_counter, old_free_head, old_used_idx, old_used_wrap_counter; it lacks"),
        ("#. Where ``used_idx`` is not ``old_used_idx`` (so that",
         "#. Where ``used_idx`` or ``used_wrap_counter`` differ from ``old_used_idx`` (so that",
         "names used_wrap_counter already, so it may be mended in other words (whole-ring)"),
        ("3. Let ``last_batch_head`` be ``i``", "5. Let ``last_batch_head`` be ``i``", None),
        ("4. Let ``free_head`` be that of ``e``", "7. Let ``free_head`` be that of ``e``",
         "numbered 7 where item 4 of the list behind 'When supplying ...:', for the packed virtqueue should be"),
    ],
)  # fmt: skip
def test_what_is_not_found_is_said(mend: Run, old: str, new: str, said: str | None) -> None:
    """Where, what was looked for, and what is there; then nothing is printed. A list that is not touched may differ."""
    assert CHAPTER.count(old) == 1
    code, patch, messages = mend(CHAPTER.replace(old, new))
    if said is None:
        assert (code, bool(patch)) == (0, True)
        return
    assert (code, patch) == (2, "")
    assert said in messages
    assert messages.endswith("docs/text.rst is not shaped as the specification's chapter is: nothing is printed\n")


def test_everything_that_is_missing_is_said_at_once(mend: Run) -> None:
    """Each place once, however many mends look for it."""
    _, _, messages = mend(CHAPTER.replace("#. Write ``d.flags``", "#. Publish").replace("d.flags`` look", "d`` looks"))
    assert messages.count("it lacks d.flags") == 2


def test_a_line_more_or_less() -> None:
    """Take any line of the chapter away, or write it twice: each mend is refused, or its sentences are there."""
    lines = split_lines(CHAPTER)
    begin = next(n for n, line in enumerate(lines) if line.startswith("Inflight requests"))
    placed = [MENDS[name] for name in dict.fromkeys(m for s in SENTENCES if s.number for m in s.mends)]
    refused = 0
    for n in (n for n in range(begin, len(lines)) if lines[n].strip()):
        for changed in ([*lines[:n], *lines[n + 1 :]], [*lines[: n + 1], *lines[n:]]):
            for mend in (*placed, MENDS["store-order"]):
                if refusal(changed, mend):
                    refused += 1
                    continue
                got = flat("".join(mended(changed, mend)))
                added = [words for s in SENTENCES for words in s.added(mend.name)]
                assert [words for words in added if flat(words) not in got] == []
    assert refused > 100


def refusal(lines: list[str], mend: Mend) -> str:
    """Say why a mend is refused; nothing if it is not."""
    try:
        mended(lines, mend)
    except ShapeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["two words.rst", "docs/text.rst", "ü.rst"])
def test_the_file_s_name(mend: Run, tmp_path: Path, name: str) -> None:
    """From the root of the work tree, wherever the command is run; and a patch can name it."""
    (tmp_path / ".git").mkdir()
    code, patch, _ = mend(CHAPTER, "whole-ring", name=name)
    assert code == 0
    shutil.rmtree(tmp_path / ".git")
    applied(["git", "apply"], tmp_path, patch)
    assert (tmp_path / name).read_text(encoding="utf-8") != CHAPTER


def test_the_root_of_the_work_tree(mend: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for from the file upwards; without one, the name is the one from here."""
    assert "--- a/docs/text.rst\n" in mend(CHAPTER)[1]
    (tmp_path / "docs" / ".git").mkdir()
    assert "--- a/text.rst\n" in mend(CHAPTER)[1]
    monkeypatch.chdir("docs")
    assert "--- a/elsewhere.rst\n" in mend(CHAPTER, name="../elsewhere.rst")[1]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\0" * 100, CHAPTER.encode("utf-16")])
def test_no_text_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """Not one that can be read, or not a chapter: exit 2 and a line."""
    monkeypatch.chdir(tmp_path)
    Path("x").write_bytes(content)
    assert run(Path("x")) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith("vhost-inflight: x: ")


def test_a_place_that_is_gone_stops_the_series() -> None:
    """As a library, too: no mend is made in part."""
    broken = split_lines(CHAPTER.replace("#. Write ``d.flags``", "#. Publish"))
    with pytest.raises(ShapeError, match=r"it lacks d\.flags"):
        list(series(broken, [Mend("flags-order", "gap", "")], "x"))
