"""The recorded runs by name: wherever a schedule's file is taken, ``packed/errata/whole-ring`` is, too.

They are data of the package, so they have their names outside a checkout as well.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from refimpl.errors import UsageError
from refimpl.names import no_such
from vhost_inflight.telling import STDIO, write_json

__all__ = ["named", "names", "run"]


def _folder() -> Path:
    return Path(str(files("proofs"))) / "recorded"


def names() -> dict[str, Path]:
    """Return the files of the recorded runs by name: their ring, what they are of, and their own name."""
    folder = _folder()
    paths = sorted(folder.glob("*/*/*.json"))  # beside the folders are records of other kinds
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def named(file: Path) -> Path:
    """Return the file of a recorded run, if ``file`` is the name of one; else ``file``, which is a file's.

    Raises UsageError, with the names that are near, for what is neither: no file, and not called like one.
    """
    if file == STDIO or file.suffix == ".json" or file.exists():
        return file
    known = names()
    if file.name.startswith(("split-", "packed-")) and len(file.parts) == 1:
        raise UsageError(f"there is no file {file}; of a test vector: vhost-inflight recover --explain {file}")
    if file.as_posix() not in known:
        text = no_such("file, and no recorded run", file.as_posix(), known)
        raise UsageError(text.replace("`vhost-inflight explain`", "`vhost-inflight list`"))
    return known[file.as_posix()]


def run(*, json_file: Path | None = None) -> None:
    """List the recorded runs (the command ``list``): a line each, its name and what it shows."""
    told = [_told(name, path) for name, path in names().items()]
    if json_file is not None:
        write_json(json_file, told)
    if json_file != STDIO:
        width = max(len(one["name"]) for one in told)
        for one in told:
            print(f"{one['name']:<{width}}  {_shows(one)}")


def _told(name: str, path: Path) -> dict[str, Any]:
    """Return what a run is of."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    fields = ("ring", "revision", "gaps", "mutant", "property", "witness", "queue_size")
    return {"name": name, **{field: document.get(field) for field in fields}, "events": len(document["schedule"])}


def _shows(run_: dict[str, Any]) -> str:
    """Say in words what a run shows."""
    gaps = "".join(f", {gap}={choice}" for gap, choice in run_["gaps"].items())
    mutant = f", mutant {run_['mutant']}" if run_["mutant"] else ""
    what = f"violates {run_['property']}" if run_["property"] else f"a witness of {run_['witness']}"
    return f"{run_['revision']}{gaps}{mutant}: {what if run_['property'] or run_['witness'] else 'nothing is violated'}"
