"""The command ``recover``: bytes in, what a new back-end makes of them out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refimpl.choices import parse_gaps
from refimpl.documents import STDIO, number, read_document
from refimpl.errors import UsageError
from refimpl.names import no_such
from vhost_inflight.recover import vector
from vhost_inflight.recover.asking import BOTH, Answered, Question, document, stories
from vhost_inflight.recover.given import SCHEMAS, GivenError, schema
from vhost_inflight.recover.life import life
from vhost_inflight.recover.lines import answer_lines
from vhost_inflight.recover.raw import RING_FORM, Raw, state
from vhost_inflight.recover.vector import Named, named
from vhost_inflight.telling import write_json

__all__ = ["ask", "parser", "run", "run_lines"]


def parser(prog: str) -> argparse.ArgumentParser:
    """Return what reads the arguments of the command."""
    made = argparse.ArgumentParser(
        prog=prog,
        allow_abbrev=False,
        description="Say what a back-end must make of the bytes of a region and a ring: JSON in, JSON out.",
        epilog="Exit status: 0 for an answer. 1: the bytes break a rule (whose fault that is, is said on standard "
        "error; the JSON has it too, and is then written only with --json FILE or -, --lines, --did or --revision "
        "both), the answer gives the device what the ring shows as used, or the ring could not be stopped there. 2: no "
        "state, or bad usage. What speaks against an answer (doubts) is said on standard error, in the JSON and in the "
        "story, asked for or not.",
    )
    add = made.add_argument
    add(
        "file",
        nargs="?",
        type=Path,
        default=STDIO,
        metavar="FILE",
        help="the state (--schema input says its form; backend --dump writes such files), or the id of a test vector; "
        "- or none: standard input",
    )
    add(
        "--vectors",
        type=Path,
        metavar="FILE",
        help="whose ids are meant: a vectors.jsonl, or its folder; the small set's, if left out",
    )
    add(
        "--revision",
        default=None,
        help="v6, merged or hardened, or both (the latter two); wins over the input's. Where neither names one, it is "
        "the one that is proved: merged for a split ring, hardened for a packed one",
    )
    add("--gap", action="append", default=[], metavar="NAME=CHOICE", help="a choice other than the default; wins too")
    add("--explain", action="store_true", help="tell the story in words instead of the JSON")
    add("--json", type=Path, metavar="FILE", help="write the JSON to a file instead; - is standard output")
    raw = made.add_argument_group("raw bytes instead of FILE")
    raw.add_argument(
        "--region", type=Path, metavar="FILE", help="the shared buffer, as it is; more than needed is fine"
    )
    raw.add_argument("--ring", type=Path, metavar="FILE", help=RING_FORM)
    raw.add_argument("--ring-kind", metavar="KIND", help="split or packed")
    raw.add_argument("--queue-size", type=_natural, metavar="N", help="entries of the ring")
    raw.add_argument("--region-size", type=_natural, metavar="N", help="entries of the region; as many, if left out")
    raw.add_argument("--offset", type=_natural, default=0, metavar="BYTES", help="where queue 0 begins in the buffer")
    raw.add_argument("--queue", type=_natural, default=0, metavar="N", help="which queue's region, from 0")
    raw.add_argument(
        "--stride",
        type=_natural,
        metavar="BYTES",
        help="from one queue's region to the next one's; left out, it is found: rounded up to 64, not rounded, or with "
        "a header of 29 bytes",
    )
    raw.add_argument(
        "--base",
        type=_base,
        metavar="N",
        help="what SET_VRING_BASE carried (0x, too): where a fresh region begins on a packed ring in use; left out, "
        "as on a new one. Ignored where the region has a version, and on a split ring: those say it themselves",
    )
    raw.add_argument(
        "--stopped",
        metavar="PAIR",
        help="the ring was stopped, and --base is what was answered: the generation of the back-end under that of the "
        "front-end, such as skip-drain-under-skip-drain; whether it could be stopped there is told",
    )
    add(
        "--did",
        type=Path,
        metavar="FILE",
        help="what a back-end did with these bytes, as JSON: resubmitted (in order, a list of heads, or "
        "of entries or objects with entry or id), next (as fetch_position in the answer), counter, or refused (true); "
        "what is left out is not judged. Exit status 1 if it was not what it had to do",
    )
    add(
        "--lines",
        action="store_true",
        help="read states of a line each, and answer each at once by a line, in order: a service behind two pipes. A "
        "line that is no state is answered by an error with its number; exit status 2 then, at the end",
    )
    add("--schema", metavar="input|output", help="print a JSON Schema, and read nothing")
    return made


def ask(arguments: Sequence[str], prog: str) -> bool:
    """Do what command line arguments say; as `run` does. Raises SystemExit(2) for arguments that there are none of."""
    given = parser(prog).parse_args(arguments)
    gaps = parse_gaps(given.gap)
    if given.schema is not None:
        show_schema(given.schema)
        return True
    question = Question(given.revision or "", gaps, read_document(given.did) if given.did is not None else None)
    raw = _raw(given)
    if raw is not None and (given.lines or given.file != STDIO):
        raise UsageError("--region and --ring have the state: no FILE, no --lines")
    if given.lines:
        if given.explain or given.json is not None or given.did is not None:
            raise UsageError("--lines answers with JSON, on standard output: no --explain, no --json, no --did")
        return run_lines(given.file, question)
    wanted = named(given.file, given.vectors)
    if given.vectors is not None and (raw or given.file == STDIO):
        raise UsageError("--vectors is for the id of a vector, in the place of FILE")
    return run(raw or wanted or given.file, question, explain=given.explain, json_file=given.json)


def _natural(text: str) -> int:
    """Return a whole number, not negative; argparse tells of another text."""
    if not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _base(text: str) -> int:
    """Return a number of 32 bits, in hexadecimal too; argparse tells of another text."""
    try:
        return number(text, 32)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _raw(given: argparse.Namespace) -> Raw | None:
    """Return the raw bytes that are asked about, None where none are. Raises UsageError for half of what is needed."""
    needed = {"--region": given.region, "--ring": given.ring, "--ring-kind": given.ring_kind}
    needed["--queue-size"] = given.queue_size
    missing = [name for name, value in needed.items() if value is None]
    others = {"--region-size": given.region_size, "--offset": given.offset, "--queue": given.queue}
    if len(missing) == len(needed) and not any(others.values()) and given.stride is None and given.base is None:
        if given.stopped is not None:
            raise UsageError("--stopped is for raw bytes; in a state it is a field of that name")
        return None
    if missing:
        raise UsageError(f"raw bytes need {', '.join(needed)}; missing: {', '.join(missing)}")
    return Raw(
        given.region, given.ring, given.ring_kind, given.queue_size, given.region_size, given.offset, given.queue,
        given.stride, given.base, given.stopped,
    )  # fmt: skip


def run(file: Path | Raw | Named, question: Question, *, explain: bool = False, json_file: Path | None = None) -> bool:
    """Read a state, recover, and write the answer.

    The answer goes to standard output, or to ``json_file``; with ``explain`` the story goes to standard output instead.
    Of bytes that break a rule the rule and the culprit are told on standard error, and what speaks against the answer
    is told there too; the JSON of a broken rule is written only with ``json_file``, what a back-end did, or a second
    answer. Returns False for bytes that break a rule, and for an answer that gives the device what the ring
    shows as used. Raises DocumentError, GivenError and UsageError for an input that is none, OSError for files.
    """
    if explain and json_file == STDIO:
        raise UsageError("--explain and --json - both want standard output")
    files = [file.region, file.ring] if isinstance(file, Raw) else [file] if isinstance(file, Path) else []
    if json_file is not None and json_file.exists() and any(one.exists() and json_file.samefile(one) for one in files):
        raise UsageError(f"--json {json_file}: the answer would overwrite the state")
    _say_that_it_reads(file)
    if isinstance(file, Named):
        asked = vector.found(file)
        answers = _answered(vector.cut(asked), file.name, question)
    else:
        asked, answers = None, _answers(file, question)
    if explain:
        print(stories(answers))
        if asked is not None and asked["kind"] == "trace":
            print(life(asked))
    if json_file is not None and json_file != STDIO:
        write_json(json_file, document(answers))
    elif json_file == STDIO or not (explain or (len(answers) == 1 and answers[0].silent)):
        write_json(STDIO, document(answers))
    for line in dict.fromkeys(line for answered in answers for line in answered.lines()):
        print(f"vhost-inflight: {line}", file=sys.stderr)
    return all(answered.holds for answered in answers)


def run_lines(file: Path, question: Question) -> bool:
    """Read a state from each line of a file, and answer it by a line on standard output, as `answer_lines` does."""
    _say_that_it_reads(file)
    if file == STDIO:
        return answer_lines(sys.stdin.buffer, sys.stdout, question)
    with file.open("rb") as lines:
        return answer_lines(lines, sys.stdout, question)


def _say_that_it_reads(file: Path | Raw | Named) -> None:
    """Tell who waits at a terminal that this program waits, too."""
    if file == STDIO and sys.stdin.isatty():
        print("reading from standard input, up to Ctrl-D; --help says more", file=sys.stderr)


def _answers(file: Path | Raw, question: Question) -> list[Answered]:
    """Read a state and answer for it."""
    if isinstance(file, Raw):
        return question.ask(state(file, question.revision.replace(BOTH, "merged")))
    return _answered(read_document(file), "" if file == STDIO else str(file), question)


def _answered(told: Any, name: str, question: Question) -> list[Answered]:
    """Answer for a state; what is wrong with it is told with its name."""
    try:
        return question.ask(told)
    except GivenError as error:
        raise GivenError(f"{name}: {error}" if name else str(error)) from error


def show_schema(name: str) -> None:
    """Print a JSON Schema, of the input or of the output. Raises UsageError for another name."""
    if name not in SCHEMAS:
        raise UsageError(no_such("schema", name, SCHEMAS))
    write_json(STDIO, schema(name))
