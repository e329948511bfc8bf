"""Fuzzing: ``python -m tools.fuzz TARGET [--runs N] [--seed S] [--engine random|atheris]``, from the project's folder.

``random`` makes cases of random bytes; ``atheris`` (``pip install atheris``, where it has a wheel) is guided by which
lines of refimpl and of the proxy a case reaches, and works on what it finds. Each case has ten seconds. File
descriptors and mappings are counted at the start and at the end. A case that goes wrong is written to
tests/fuzz/corpus, where a test plays it.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "tests" / "fuzz" / "corpus"
"""A folder for each target; a file is a case that went wrong once."""

UNITS = {
    "codec": "messages", "connection": "messages", "ring": "rings", "region": "regions",
    "frontend": "replies", "stream": "streams", "oracle": "states", "schedule": "schedules",
    "proxy": "messages",
}  # fmt: skip
"""The targets, and what is counted of each."""

LONGEST = 500
"""Bytes of a case, at most."""

SECONDS = 10
"""A case that takes longer hangs."""


class HangError(Exception):
    """A case took too long."""


def _hung(_number: int, _frame: object) -> None:
    raise HangError(f"a case took more than {SECONDS} seconds")


def held() -> tuple[int, int]:
    """Return how many file descriptors and mappings this process has, without what waits to be collected."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), len(Path("/proc/self/maps").read_text().splitlines())


class Runner:
    """Runs cases of one target, and counts."""

    def __init__(self, name: str, target: Callable[[bytes], int]) -> None:
        """Run nothing yet, but what makes files that all cases share."""
        self.name, self.target = name, target
        for first in range(64):  # so that what is made once, for each kind of ring, is there
            target(bytes([first, first // 2, first // 6]) * 8)
        self.before, self.started = held(), time.monotonic()
        self.cases = self.units = 0
        signal.signal(signal.SIGALRM, _hung)

    def run(self, data: bytes) -> None:
        """Run one case; write it to the corpus if anything but an error with a culprit comes of it."""
        signal.alarm(SECONDS)
        try:
            self.units += self.target(data)
        except Exception:
            folder = CORPUS / self.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            raise
        finally:
            signal.alarm(0)
        self.cases += 1

    def report(self, engine: str) -> str:
        """Say what was run, and what is still held."""
        seconds = time.monotonic() - self.started
        what = UNITS[self.name]
        fds, maps = (now - then for now, then in zip(held(), self.before, strict=True))
        return (
            f"{self.name}, {engine}: {self.cases} cases, {self.units} {what} in {seconds:.0f} seconds, no wrong one; "
            f"{fds:+d} file descriptors, {maps:+d} mappings"
        )


def _random(runner: Runner, runs: int, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  # cases, no secrets
    while runner.units < runs:
        runner.run(dice.randbytes(dice.randrange(1, LONGEST)))
        if sys.stderr.isatty() and not runner.cases % 1000:
            print(f"\r{runner.units} of {runs}", end="", file=sys.stderr)
    print(runner.report("random"))


def _guided(name: str, runs: int, seed: int) -> None:
    import atheris  # noqa: PLC0415  # it is not everywhere

    with atheris.instrument_imports(include=["refimpl", "vhost_inflight.live"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415  # instrumented as it is imported

    runner = Runner(name, TARGETS[name])

    def one(data: bytes) -> None:
        runner.run(data)
        if runner.units >= runs:
            print(runner.report("atheris"), flush=True)
            os._exit(0)  # the fuzzer's own end does not come back either

    atheris.Setup([sys.argv[0], f"-max_len={LONGEST}", f"-seed={seed}", "-verbosity=0"], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one target until it has been given so many messages (or regions)."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("target", choices=list(UNITS))
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=["random", "atheris"], default="random")
    asked = parser.parse_args()
    if asked.engine == "atheris":
        try:
            _guided(asked.target, asked.runs, asked.seed)
        except ImportError:
            sys.exit("atheris is missing: pip install atheris (there is none for every Python)")
        return
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415  # not before atheris had its chance

    _random(Runner(asked.target, TARGETS[asked.target]), asked.runs, asked.seed)


if __name__ == "__main__":
    main()
