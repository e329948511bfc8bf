"""What `explain` says of any name that this program prints, on every ring that has it.

Besides what is in vhost_inflight.explain these are: the choices of the gaps (``reset=kept``, or ``kept`` alone), the
mends of the text (its errata among them), the named edits that make `hardened`, and the beginnings of step ids
(``packed.supply``, ``supply.9``), and the profiles of what back-ends of others do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from model import protocol
from model.both.errata import Erratum
from model.properties import SENTENCES
from model.proposal import Mend
from proofs.verdicts import load_schedule, recorded_folder
from vhost_inflight import explain as explained
from vhost_inflight.explain import Answer
from vhost_inflight.explain_profiles import profile, profiles

__all__ = ["answers", "common", "names"]


def answers(name: str, ring: str | None = None) -> list[Answer]:
    """Explain a name, on one ring or on each that has it; nothing, if there is no such name."""
    rings = [ring] if ring else protocol.RINGS
    found = [answer for each in rings for answer in _on(each, name)]
    mends = {name: mend for name, mend in protocol.mends().items() if mend.kind not in {"gap", "later"}}
    mends |= protocol.errata()
    if name in mends:
        found.append(_mend(mends[name]))
    if name in protocol.errata_since() and not found:  # a question of the same name is explained with its sentence
        found.append(_since(protocol.errata_since()[name]))
    if name in protocol.edits():
        found.append(_edit(name))
    return found


def names(ring: str | None = None) -> list[str]:
    """Give every name that can be explained, on one ring or on any; beginnings of step ids are not among them."""
    rings = [ring] if ring else protocol.RINGS
    mends = [mend.name for mend in protocol.mends().values() if mend.kind not in ("gap", "later")]
    own = [name for each in rings for name in (*explained.ids(each), *(f"{g}={c}" for g, c in _choices(each)))]
    errata = [*protocol.errata(), *protocol.errata_since()]
    return list(dict.fromkeys([*own, *errata, *mends, *protocol.edits(), *profiles(ring)]))


def common() -> Answer:
    """Give the names that are of no ring alone, by kind, each with a sentence."""
    return {
        "kind": "names",
        "properties": dict(SENTENCES),
        "revisions": dict(explained.REVISIONS),
        "errata": {name: mend.about for name, mend in protocol.errata().items()},
        "since": {name: erratum.about for name, erratum in protocol.errata_since().items()},
        "edits": {name: _reason(name) for name in protocol.edits()},
        "profiles": profiles(),
    }


def _on(ring: str, name: str) -> Iterator[Answer]:
    """Yield what a name stands for on a ring: one thing, or each choice of that name, or the steps that begin so."""
    if name in protocol.profiles(ring):
        yield profile(ring, name)
        return
    if name in explained.ids(ring):
        yield explained.explain(ring, name)
        return
    chosen = [(gap, choice) for gap, choice in _choices(ring) if name in (choice, f"{gap}={choice}")]
    for gap, choice in chosen:
        yield _choice(ring, gap, choice)
    steps = [step for step in explained.index(ring)["steps"] if _begins(step["id"], ring, name)]
    if steps and not chosen:
        yield {"kind": "steps", "id": name, "ring": ring, "steps": steps}


def _begins(step: str, ring: str, name: str) -> bool:
    """Whether a step's id begins with a name, with or without the ring's: a whole part of it, or a number's digits."""
    for begin in (name, f"{ring}.{name}"):
        rest = step.removeprefix(begin)
        if name and rest != step and (rest.startswith(".") or (begin[-1].isdigit() and not rest[:1].isdigit())):
            return True
    return False


def _choices(ring: str) -> Iterator[tuple[str, str]]:
    return ((gap.name, each.name) for gap in protocol.judged(ring).values() for each in gap.alternatives)


def _choice(ring: str, gap: str, choice: str) -> Answer:
    """Explain one choice of a gap: what of the gap's explanation is about it."""
    whole = explained.explain(ring, gap)
    (chosen,) = (each for each in whole["alternatives"] if each["name"] == choice)
    return {
        "kind": "choice",
        "id": f"{gap}={choice}",
        "ring": ring,
        "question": whole["question"],
        "meaning": chosen["meaning"],
        "default": choice == whole["default"],
        "is_later": whole["kind"] == "later",
        "revisions": whole["revisions"],
        "judged": whole["judged"],
        "changes_are_of": whole["changes_are_of"],
        "changes": chosen["changes"],
    }


# Mends of the text, and edits of its tables


def _mend(mend: Mend) -> Answer:
    """Explain a mend: what it is about, what the text should say, the edit that does so to the table, and a run."""
    rings = [ring for ring in protocol.RINGS if any(mend.name in s.mends for s in protocol.sentences(ring))]
    return {
        "kind": mend.kind,
        "id": mend.name,
        "rings": rings or list(protocol.RINGS),
        "about": mend.about,
        "edit": mend.edit or None,
        "needs": list(mend.needs),
        "proposed": _proposed(mend.name, rings),
        "correction": None,
        "page": "docs/errata.md" if mend.kind == "erratum" else None,
        "run": _run(f"packed/errata/{mend.name}"),
        "changes": _changes_of(mend.edit) if mend.edit else [],
    }


def _since(erratum: Erratum) -> Answer:
    """Explain what the specification raised since, as an erratum of the chapter."""
    return {
        "kind": "erratum",
        "id": erratum.name,
        "rings": list(erratum.rings),
        "about": erratum.about,
        "edit": None,
        "needs": [],
        "proposed": _proposed(erratum.mend, erratum.rings),
        "correction": f"{erratum.correction}." if erratum.correction else None,
        "page": "docs/errata-2026.md",
        "run": _run(erratum.run) if erratum.run else None,
        "changes": [],
    }


def _proposed(mend: str, rings: Iterable[str]) -> list[Answer]:
    """Give what the text should say for a mend, on each ring."""
    return [
        {"ring": ring, **explained.proposed(sentence)}
        for ring in rings
        for sentence in protocol.sentences(ring)
        if mend in sentence.mends
    ]


def _run(name: str) -> Answer | None:
    """Give a recorded run, named by its ring, folder and file: that file, its revision and what it violates."""
    ring, _, file_name = name.partition("/")
    path = recorded_folder(ring) / f"{file_name}.json"
    if not path.is_file():
        return None
    schedule = load_schedule(path)
    here = os.path.relpath(path)
    file = str(path) if here.startswith("..") else here
    return {"file": file, "revision": schedule.revision, "property": schedule.property}


def _edit(name: str) -> Answer:
    """Explain a named edit of `hardened`: what it mends, and the steps that are otherwise without it."""
    return {
        "kind": "edit",
        "id": name,
        "ring": "packed",
        "reason": _reason(name),
        "errata": [mend.name for mend in protocol.errata().values() if mend.edit == name],
        "changes": _changes_of(name),
    }


def _reason(edit: str) -> str:
    return "; ".join(mend.about for mend in protocol.errata().values() if mend.edit == edit)


def _changes_of(edit: str) -> list[Answer]:
    hardened = protocol.table(protocol.Subject("packed", "hardened"))
    return explained.changes(protocol.without(edit), hardened)
