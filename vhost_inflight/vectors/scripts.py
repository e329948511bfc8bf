"""The lives that vectors are taken from, each with a name that says what it is about; and lives drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Final

__all__ = ["Script", "by_size", "orders", "random_lives", "scripts"]


@dataclass(frozen=True)
class Script:
    """A life to be played: its name, its words (`lives`), the queue's size, the ring's first position, and how.

    `gaps`: choices of the process that dies, other than the defaults. `small`: part of the committed set.
    `entries`: of the region, where it is larger than the ring. `cuts`: where it is cut off, as ids say it, if not
    everywhere; none: it is a trace alone. `wishes` (split): before each batch, how far past its first used element the
    one is that the driver asks to be notified of. `far_ids` (packed): past the ring's size, in a chain's last alone.
    """

    name: str
    words: str
    size: int = 4
    first: int = 0
    style: str = "plain"
    flags: tuple[str, ...] = ()
    gaps: tuple[tuple[str, str], ...] = ()
    small: bool = False
    entries: int | None = None
    notifications: bool = False
    cuts: tuple[str, ...] | None = None
    wishes: tuple[int, ...] = ()
    far_ids: bool = False


_COUNTERS_32: Final = Script(
    "counters-32",
    f"start;make 3;fetch;count {2**31};make 0;fetch;count {2**31 - 1};make 2;fetch;crash;start;make 1;fetch;supply 0 1",
    flags=("counter",),
)
"""Counters that 32 bits, of which one may be a sign, put in another order; and a request that is fetched after them."""

_SPLIT: Final = (
    Script("one", "start;make 0;fetch;supply 0;use", 2, small=True),
    Script(
        "batch",
        "start;make 2;fetch;make 0;fetch;make 1;fetch;supply 0 2;use;make 2;fetch;supply 1 2",
        flags=("batch", "out-of-order"),
        small=True,
    ),
    Script(
        "full",
        "start;make 1;make 0;fetch;fetch;supply 0 1;use;make 0;make 1;fetch;fetch;supply 1 0",
        2,
        flags=("full-ring", "batch"),
        small=True,
    ),
    Script(
        "index-wrap",
        "start;make 0;make 1;make 2;fetch;fetch;fetch;supply 2 0 1;use;make 0;fetch;supply 0",
        4,
        65534,
        flags=("index-wrap", "used-ring", "batch"),
        small=True,
    ),
    Script("used-ring", "start;make 1;fetch;supply 1", 4, 7, flags=("used-ring",)),
    Script(
        "second-life",
        "start;make 3;make 1;fetch;fetch;crash;start;make 0;fetch;supply 1;use;make 1;fetch;crash;start;supply 0 3",
        flags=("second-crash",),
        small=True,
    ),
    Script(
        "far-counters",
        "start;make 3;fetch;count 3000;make 0;fetch;count 5000000000;make 2;fetch;count 3;make 1;fetch",
        flags=("counter",),
        small=True,
    ),
    Script(
        "half-fetched", "start;make 1;make 0;make 3;fetch;supply 1;use;make 1;fetch", flags=("waiting",), small=True
    ),
    Script(
        "quick-driver",
        "start;make 0;make 1;fetch;fetch;gather 1 0;publish 5;use;make 1;publish 6;make 0;publish;fetch",
        2,
        flags=("batch", "full-ring", "driver-at-once"),
    ),
    Script(
        "chains",
        "start;make 0;make 2;fetch;fetch;supply 2;use;make 2;fetch;supply 0 2",
        style="chain",
        flags=("chain", "batch"),
    ),
    Script(
        "indirect",
        "start;make 0;make 3;fetch;fetch;supply 3;use;make 3;fetch;supply 0 3",
        style="indirect",
        flags=("indirect", "batch"),
    ),
    Script("size-1", "start;make 0;fetch;supply 0;use;make 0;fetch", 1, flags=("full-ring",)),
    Script(
        "larger-region",
        "start;make 1;make 0;fetch;fetch;supply 0;use;make 0;fetch",
        2,
        entries=5,
        flags=("region-size",),
        gaps=(("region-size", "larger"),),
    ),
    Script(
        "elements-late",
        "start;make 0;make 1;fetch;fetch;supply 1 0",
        2,
        flags=("batch",),
        gaps=(("used-element", "before-publish"),),
    ),
    Script(
        "signal-early",
        "start;make 0;make 1;fetch;fetch;supply 1 0",
        2,
        flags=("batch",),
        gaps=(("signal-when", "after-publish"),),
    ),
    Script(
        "fetch-in-batch",
        "start;make 0;fetch;make 1;gather 0;fetch;publish",
        2,
        flags=("batch",),
        gaps=(("fetch-in-batch", "until-publish"),),
    ),
    Script(
        "hand-over",
        "start;make 0;fetch;supply 0",
        2,
        5,
        flags=("used-ring",),
        gaps=(("init-order", "before-hand-over"),),
    ),
    Script(
        "used-idx-zero", "start;make 0;fetch;supply 0", 2, 1, flags=("used-ring",), gaps=(("fresh-used-idx", "zero"),)
    ),
    Script("counter-one", "start;make 1;fetch;make 0;fetch;supply 1", 2, gaps=(("counter-start", "one"),)),
    Script(
        "sleeping",
        "start;make 0;fetch;fetch;sleep;supply 0;use;make 1;fetch;sleep;supply 1;use;make 0;fetch;fetch",
        2,
        flags=("notification",),
        notifications=True,
    ),
    Script(
        "notified",
        "start;make 0;fetch;fetch;make 1;make 2;fetch;fetch;supply 2 0 1;use;make 0;make 1;fetch;fetch;supply 0 1;use;"
        "make 0;make 1;fetch;fetch;supply 0 1",
        4,
        65535,
        flags=("notification", "batch", "index-wrap"),
        small=True,
        notifications=True,
        cuts=(),
        wishes=(1, 1, 0),
    ),
    Script(
        "larger-region-laps",
        "start;make 1;make 0;fetch;fetch;supply 0 1;use;make 0;make 1;fetch;supply 0;fetch;use;make 0;fetch;supply 1 0",
        2,
        entries=5,
        flags=("region-size", "batch"),
    ),
    Script("wide", "start;make 0;make 1;fetch;fetch;supply 1 0;use;make 1;fetch;supply 1", 2, style="wide"),
    Script(
        "mixed-chains",
        "start;make 0;make 2;fetch;fetch;supply 2;use;make 2;fetch;supply 0 2",
        style="mixed",
        flags=("indirect", "chain", "batch"),
    ),
    _COUNTERS_32,
)


_PACKED: Final = (
    Script("one", "start;make 0;fetch;supply 0;use", 2, small=True),
    Script(
        "batch",
        "start;make 2;fetch;make 0;fetch;make 1;fetch;supply 0 2;use;make 2;fetch;supply 1 2",
        flags=("batch", "out-of-order", "wrap"),
    ),
    Script(
        "chain",
        "start;make 0 2;make 1;fetch;fetch;supply 1;use;make 1 2;fetch;supply 0 1;use;make 0;fetch",
        flags=("chain", "wrap", "batch"),
        small=True,
    ),
    Script(
        "whole-ring",
        "start;make 0;make 1;fetch;fetch;supply 1 0;use;make 1 2;fetch;supply 1",
        2,
        flags=("full-ring", "batch", "wrap", "whole-ring"),
        small=True,
    ),
    Script(
        "whole-chain",
        "start;make 0 2;fetch;supply 0;use;make 1;fetch;make 0;fetch;supply 0 1",
        2,
        flags=("full-ring", "chain", "wrap", "whole-ring"),
    ),
    Script(
        "size-3",
        "start;make 0 3;fetch;supply 0;use;make 1;make 0;fetch;fetch;supply 0;use;make 0;make 2;fetch;supply 0 1",
        3,
        flags=("chain", "wrap", "batch"),
    ),
    Script(
        "half-settled",
        "start;make 0 2;fetch;supply 0;use;make 1;fetch;make 0;fetch;supply 1 0",
        3,
        flags=("chain", "wrap", "batch", "half-settled"),
        small=True,
    ),
    Script(
        "quick-driver",
        "start;make 0;make 1;fetch;fetch;gather 1 0;publish 7;publish 7;use;make 1;publish 9a;make 0;publish;fetch",
        2,
        flags=("batch", "full-ring", "wrap", "whole-ring", "driver-at-once"),
    ),
    Script("used-ring", "start;make 1;fetch;supply 1", 2, 1, flags=("used-ring",), small=True),
    Script(
        "used-ring-second-lap",
        "start;make 0;make 1 2;fetch;fetch;supply 1 0",
        4,
        7,
        flags=("used-ring", "wrap", "chain", "batch"),
    ),
    Script(
        "second-life",
        "start;make 1 2;make 0;fetch;fetch;crash;start;supply 0;use;make 0;fetch;crash;start;supply 0 1;use;"
        "make 2;fetch",
        flags=("second-crash", "chain", "wrap"),
        small=True,
    ),
    Script(
        "far-counters",
        "start;make 3;fetch;count 3000;make 0;fetch;supply 3;use;count 5000000000;make 2;fetch;count 3;make 1;fetch",
        flags=("counter",),
        small=True,
    ),
    Script("half-fetched", "start;make 1 2;make 0;fetch;supply 1;use;make 1;fetch", flags=("waiting", "chain")),
    Script(
        "indirect",
        "start;make 0;make 3;fetch;fetch;supply 3;use;make 3;fetch;supply 0 3",
        style="indirect",
        flags=("indirect", "batch", "wrap"),
    ),
    Script(
        "size-1", "start;make 0;fetch;supply 0;use;make 0;fetch;supply 0", 1, flags=("full-ring", "wrap", "whole-ring")
    ),
    Script(
        "settle-wide",
        "start;make 0;make 1;fetch;fetch;supply 1 0;use;make 0;fetch;supply 0",
        2,
        flags=("batch", "full-ring"),
        gaps=(("settle", "wide"),),
    ),
    Script("event-index", "start;make 0;fetch;supply 0", 2, gaps=(("event-kind", "index"),)),
    Script(
        "sleeping",
        "start;make 0;fetch;fetch;sleep;supply 0;use;make 1;fetch;sleep;supply 1;use;make 0;fetch;fetch",
        2,
        flags=("notification", "wrap"),
        notifications=True,
    ),
    Script(
        "notified",
        "start;fetch;make 0;make 1;fetch;fetch;sleep;supply 1 0;use;crash;start;fetch",
        2,
        flags=("notification", "batch"),
        small=True,
        notifications=True,
        cuts=(),
    ),
    Script(
        "larger-region-laps",
        "start;make 1;make 0;fetch;fetch;supply 0 1;use;make 0 2;fetch;supply 0;use;make 1;fetch;make 0;fetch;supply 0",
        2,
        1,
        entries=5,
        flags=("region-size", "batch", "chain", "wrap"),
    ),
    Script(
        "wide",
        "start;make 0 2;make 1;fetch;fetch;supply 1 0;use;make 1;fetch;supply 1",
        3,
        style="wide",
        flags=("chain", "batch", "wrap"),
    ),
    _COUNTERS_32,
    Script(
        "far-ids",
        "start;make 1 3;make 0;fetch;fetch;supply 1;use;crash;start;make 1 2;fetch;supply 1 0",
        entries=8,
        flags=("region-size", "chain", "batch", "wrap"),
        cuts=(),
        far_ids=True,
    ),
)


_SCRIPTS: Final = {"split": _SPLIT, "packed": _PACKED}


def scripts(ring: str) -> tuple[Script, ...]:
    """Give the lives of a ring."""
    return _SCRIPTS[ring]


def orders(ring: str) -> Iterator[Script]:
    """Give lives in which three requests are given back in each order, and in each cut into batches."""
    for order in permutations(range(3)):
        for cut, name in ((3, "3"), (2, "2-1"), (1, "1-2")):
            first, second = order[:cut], order[cut:]
            words = ["start", *(f"make {n};fetch" for n in (1, 0, 2)), f"supply {_words(first)}"]
            words += ["use", f"make {first[0]}", "fetch", *([f"supply {_words(second)}"] if second else [])]
            yield Script(
                f"order-{''.join(map(str, order))}-{name}",
                ";".join(words),
                3 if ring == "packed" else 4,
                flags=("batch", "out-of-order"),
            )


def _words(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def by_size(ring: str, size: int) -> Script:
    """Give a life at the far end of a ring and of a region: heads, positions and indexes as large as they come."""
    last, middle = size - 1, size // 2
    lengths = ("", "", "") if ring == "split" else (f" {min(size - 2, 3)}", "", " 1")
    made = [f"make {head}{length}" for head, length in zip((last, 0, middle), lengths, strict=True)]
    words = ["start", *(f"{make};fetch" for make in made), f"supply 0 {last}", "use", f"make {last}", "fetch"]
    first = 65536 - 2 if ring == "split" else size - 2
    return Script(
        f"size-{size}-end",
        ";".join(words),
        size,
        first,
        flags=("queue-size", "used-ring", "batch", *(["index-wrap"] if ring == "split" else ["wrap", "chain"])),
    )


def random_lives(ring: str, seed: int, number: int, sizes: tuple[int, ...] = (2, 3, 4, 8)) -> Iterator[Script]:
    """Draw lives; the same seed gives the same ones."""
    for which in range(number):
        dice = random.Random(f"{ring} {seed} {which}")  # noqa: S311  # to be repeated, not to be secret
        size = dice.choice([s for s in sizes if ring == "packed" or s & (s - 1) == 0])
        first = dice.choice((0, 0, dice.randrange(2 * size))) if ring == "packed" else dice.choice((0, 65536 - size))
        words = _drawn(dice, ring, size)
        yield Script(f"drawn-{seed}-{which}", ";".join(words), size, first, flags=("drawn",))


def _drawn(dice: random.Random, ring: str, size: int, length: int = 14) -> list[str]:
    free, waiting, working = set(range(size)), [], []  # type: tuple[set[int], list[int], list[int]]
    used: list[int] = []
    slots, long = size, dict.fromkeys(range(size), 1)
    words = ["start"]
    while len(words) < length:
        word = dice.choice(["make", "make", "fetch", "fetch", "supply", "use", *(["crash"] if len(words) > 5 else [])])
        if word == "make" and free and slots:
            chosen = dice.choice(sorted(free))
            long[chosen] = dice.randint(1, min(3, slots)) if ring == "packed" else 1
            slots -= long[chosen]
            free.discard(chosen)
            waiting.append(chosen)
            words.append(f"make {chosen} {long[chosen]}" if ring == "packed" else f"make {chosen}")
        elif word == "fetch" and waiting:
            working.append(waiting.pop(0))
            words.append("fetch")
        elif word == "supply" and working:
            batch = dice.sample(working, dice.randint(1, len(working)))
            working = [w for w in working if w not in batch]
            used += batch
            words.append(f"supply {_words(tuple(batch))}")
        elif word == "use" and used:
            free |= set(used)
            slots += sum(long[u] for u in used)
            used = []
            words.append("use")
        elif word == "crash" and (waiting or working):
            words += ["crash", "start"]
    return words
