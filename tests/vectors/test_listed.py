"""Vectors by their ids, and a folder that has one set after another."""

from __future__ import annotations

import json
from pathlib import Path

from tests.test_door import Run, run
from vhost_inflight.vectors import form, sets
from vhost_inflight.vectors.writing import write

__all__ = ["run"]


def test_list(run: Run, tmp_path: Path) -> None:
    """Each vector of the small set has a line, with what it catches; of a file likewise; as JSON too."""
    ids = [vector.id for vector in sets.vectors("small")]
    code, out, err = run("list", "vectors")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ids
    assert all(": " in line for line in out.splitlines())
    told = json.loads(run("list", "vectors", "--json", "-")[1])
    assert [one["id"] for one in told] == ids
    one = next(line for line in form.dump(sets.vectors("small")))
    (tmp_path / "vectors.jsonl").write_text(one + "\n", encoding="utf-8")
    assert run("list", "vectors", "--vectors", str(tmp_path / "vectors.jsonl"))[1].split()[0] == ids[0]


def test_list_refuses(run: Run, tmp_path: Path) -> None:
    """Exit 2 and a sentence."""
    (tmp_path / "x").write_text("{}\n")
    for arguments, words in (
        (("nothing",), "there is no list 'nothing'"),
        (("runs", "--vectors", "x"), "is for `list vectors`"),
        (("vectors", "--vectors", str(tmp_path / "x")), "a line is no vector"),
        (("vectors", "--vectors", "/nowhere"), "No such file"),
    ):
        code, out, err = run("list", *arguments)
        assert (code, out) == (2, ""), arguments
        assert words in " ".join(err.replace("│", " ").split()), arguments


def test_a_set_takes_the_place_of_another(tmp_path: Path) -> None:
    """No raw file of the first one is left; what else is in the folder is."""
    vectors = list(sets.vectors("small"))[:5]
    told: list[str] = []
    write(vectors, tmp_path, "small", 0, told.append)
    assert told == [vector.id for vector in vectors]
    (tmp_path / "mine").touch()
    write(vectors[:2], tmp_path, "small", 0)
    assert {file.name.rpartition(".")[0] for file in (tmp_path / "raw").iterdir()} == {v.id for v in vectors[:2]}
    assert (tmp_path / "mine").exists()


def test_a_folder_that_is_no_set_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mine").touch()
    (tmp_path / "index.json").write_text("{}")
    write(list(sets.vectors("small"))[:1], tmp_path, "small", 0)
    assert (tmp_path / "raw" / "mine").exists()
