"""Terms as C: one run of a table at a size of thousands, in place, with what judges it.

The interpreter copies a state for each successor, which suits searches, and takes minutes for one run of 32768 entries.
Here steps, judgements and sentences become C functions over one block of 64-bit numbers, compiled once for all sizes.
This is no third meaning of a term: tests play one run on both and compare every number after every event.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.interpret import Sizes
from model.properties import NAMES, Judgement
from model.record import Assign, record_term
from model.steps import Guard, Recorded, Table
from model.terms import ModelError, Term, walk

__all__ = ["Native", "NoCompilerError"]

HEAD = """
typedef long long num;
static num size, entries, heads, sums, first, broken, *block, stride = 1, offset;
static inline num at(const num *a, num n, num i)
{
    if (i >= 0 && i < n) return a[i];
    if (i < 0 && i + n >= 0) return a[i + n];  /* as the interpreter reads: from the end */
    broken = 1;
    return 0;
}
static inline num mod(num x, num n) { num r = x % n; return r < 0 ? r + n : r; }
static inline num lap(num x) { return 1 - (((x - mod(x, size)) / size) & 1); }
static inline num fits(num x, int width) { if (x < 0 || x >> width) broken = 2; return x; }
static inline num inside(num i, num n) { if (i < 0 || i >= n) { broken = 3; return 0; } return i; }
"""
LOOPS = ("forall", "exists", "count", "total", "greatest")
BROKEN = ("", "an element that there is not was read", "a number does not fit its field", "a store past an array's end")
SHORTER = {("size", "heads"), ("entries", "heads"), ("size", "sums"), ("entries", "sums"), ("heads", "sums")}
"""Of two lengths: the first is never more than the second."""


class NoCompilerError(Exception):
    """There is no C compiler, or it does not take what is written here."""


def _name(bound: object) -> str:
    return "".join(c if c.isalnum() else "_" for c in str(bound))


def _has_loop(term: Term) -> bool:
    return any(node.op in LOOPS for node in walk(term))


@dataclass
class _Writer:
    """Writes terms as C expressions (of GCC's kind, which has loops in them)."""

    table: Table
    labels: dict[str, int]
    kept: dict[str, str] = field(default_factory=dict)

    def expr(self, term: Term, bound: Mapping[str, str] | None = None) -> str:
        """Write a term; `bound` says of a bound variable which length it stays below."""
        bound, (op, args) = bound or {}, (term.op, term.args)
        if op == "const":
            return str(args[0] if isinstance(args[0], int) else self.label(str(args[0])))
        if op == "var":
            return self.kept.get(str(args[0]), f"*v_{self.place(args[0])}")
        if op in ("param", "bound"):
            return _name(args[0])
        if op == "choice":
            return "c"
        if op in LOOPS:
            return self._loop(term, bound)
        if op in ("follow", "met"):
            return self._walk(term, bound)
        parts = [self.expr(a, bound) for a in args if isinstance(a, Term)]
        if op == "at":
            return self._element(str(args[0]), args[1], parts[0], bound)
        return self._operator(term, parts)

    def label(self, name: str) -> int:
        """Give the number of a label."""
        return self.labels.setdefault(name, len(self.labels))

    def place(self, name: object) -> int:
        """Give a variable's number."""
        return list(self.table.vars).index(str(name))

    def _element(self, name: str, index: object, written: str, bound: Mapping[str, str]) -> str:
        limit = str(self.table.vars[name].limit)
        below = bound.get(_name(index.args[0])) if isinstance(index, Term) and index.op == "bound" else None
        if below == limit or (below, limit) in SHORTER:
            return f"v_{self.place(name)}[{written}]"
        return f"at(v_{self.place(name)}, {limit}, {written})"

    @staticmethod
    def _operator(term: Term, parts: list[str]) -> str:
        op = term.op
        if op == "wrap":
            return f"({parts[0]} & {(1 << int(str(term.args[1]))) - 1})"
        if op in ("slot", "cell", "place"):
            return f"mod({parts[0]}{' & 65535' if op == 'place' else ''}, size)"
        if op == "lap":
            return f"lap({parts[0]})"
        if op == "not":
            return f"(!{parts[0]})"
        if op == "ite":
            return f"({parts[0]} ? {parts[1]} : {parts[2]})"
        if op in ("and", "or"):
            return f"({(' && ' if op == 'and' else ' || ').join(parts)})" if parts else str(int(op == "and"))
        return f"({parts[0]} {op} {parts[1]})"

    def _loop(self, term: Term, bound: Mapping[str, str]) -> str:
        name = _name(term.args[0])
        low, *rest = [a for a in term.args[1:] if isinstance(a, Term)] if term.op in ("forall", "exists") else (
            Term("const", (0,)), *(a for a in term.args[1:] if isinstance(a, Term)))  # fmt: skip
        limit, *bodies = rest
        below = {name: str(limit.args[0])} if limit.op == "param" and low.op in ("const", "bound") else {}
        body, *more = (self.expr(b, {**bound, **below}) for b in bodies)
        sparse = term.op == "forall" and not bound and limit.op != "bound" and _has_loop(bodies[0])
        start, by = (" + offset", "stride") if sparse else ("", "1")
        until = f"e_ = {self.expr(limit, bound)}; {name} < e_; {name} += {by}"
        loop = f"for (num {name} = {self.expr(low, bound)}{start}, {until})"
        if term.op in ("forall", "exists"):
            all_, sign = int(term.op == "forall"), "!" if term.op == "forall" else ""
            return f"({{ num r_ = {all_}; {loop} if ({sign}({body})) {{ r_ = {1 - all_}; break; }} r_; }})"
        if term.op == "greatest":
            value, none = more
            took = f"if ({body}) {{ num w_ = {value}; if (!f_ || w_ > r_) r_ = w_; f_ = 1; }}"
            return f"({{ num r_ = 0, f_ = 0; {loop} {took} f_ ? r_ : {none}; }})"
        return f"({{ num r_ = 0; {loop} if ({body}) r_ += {more[0] if more else 1}; r_; }})"

    def _walk(self, term: Term, bound: Mapping[str, str]) -> str:
        x = _name(term.args[0])
        start, limit, go, following, *test = (self.expr(a, bound) for a in term.args[1:] if isinstance(a, Term))
        on = f"{x} = {following}; n_--;"
        begin = f"num {x} = {start}, n_ = {limit}, r_ = 0; while (n_ > 0 && {go})"
        if test:
            return f"({{ {begin} {{ if ({test[0]}) {{ r_ = 1; break; }} {on} }} r_; }})"
        return f"({{ {begin} {{ {on} }} (void)r_; {x}; }})"

    def step(self, number: int, recorded: Recorded) -> list[str]:
        """Write a step's guard and what it does: every value is of the state before it."""
        labels = [f"*v_{self.place(f'{recorded.step.procedure}.at')} == {self.label(at)}" for at in recorded.step.at]
        lines = [f"static num here_{number}(void) {{ return {' || '.join(labels) or '1'}; }}",
                 f"static num guard_{number}(num c) {{ return {self.expr(recorded.guard)}; }}",
                 f"static void take_{number}(num c)", "{"]  # fmt: skip
        assigns = (*recorded.assigns, *recorded.history)
        if len({a.name for a in assigns}) != len(assigns):
            raise ModelError(f"{recorded.step.id} assigns to a variable twice")
        loops = [a for a in assigns if isinstance(a.index, str)]
        single = [a for a in assigns if not isinstance(a.index, str)]
        lines += [f"    num {line};" for n, a in enumerate(single) for line in self._value(n, a)]
        aside = [a for a in loops if self._read_elsewhere(a, loops)]
        lines += [line for a in aside for line in self._each(a, f"w_{self.place(a.name)}")]
        lines += [line for a in loops if a not in aside for line in self._each(a, f"v_{self.place(a.name)}")]
        for a in aside:
            place, limit = self.place(a.name), self.table.vars[a.name].limit
            lines.append(f"    for (num n = 0; n < {limit}; n++) v_{place}[n] = w_{place}[n];")
        for n, a in enumerate(single):
            lines.append(f"    v_{self.place(a.name)}[{'0' if a.index is None else f'i_{n}'}] = t_{n};")
        return [*lines, "}"]

    def _value(self, number: int, assign: Assign) -> list[str]:
        var = self.table.vars[assign.name]
        lines = [f"t_{number} = {self._fitting(assign.name, self.expr(assign.value))}"]
        if isinstance(assign.index, Term):
            lines.append(f"i_{number} = inside({self.expr(assign.index)}, {var.limit})")
        return lines

    def _fitting(self, name: str, value: str) -> str:
        width = self.table.vars[name].width
        return f"fits({value}, {width})" if 0 < width < 63 else value

    def _each(self, assign: Assign, into: str) -> list[str]:
        k, limit = _name(assign.index), str(self.table.vars[assign.name].limit)
        scalars = {str(n.args[0]) for n in walk(assign.value) if n.op == "var"}
        self.kept = {name: f"s_{self.place(name)}" for name in scalars}  # so that the compiler sees that they stay
        value = self._fitting(assign.name, self.expr(assign.value, {k: limit}))
        kept = " ".join(f"const num {local} = *v_{self.place(name)};" for name, local in sorted(self.kept.items()))
        self.kept = {}
        loop = f"for (num {k} = 0; {k} < n_; {k}++) o_[{k}] = {value};"
        return [f"    {{ {kept} const num n_ = {limit}; num *o_ = {into};", "#pragma GCC ivdep", f"    {loop} }}"]

    @staticmethod
    def _read_elsewhere(assign: Assign, loops: Iterable[Assign]) -> bool:
        """Whether an array that is assigned whole is read otherwise than at the very element that is assigned."""
        for other in loops:
            for node in walk(other.value):
                if node.op == "at" and node.args[0] == assign.name:
                    index = node.args[1]
                    own = isinstance(index, Term) and index.op == "bound" and index.args[0] == other.index
                    if other is not assign or not own:
                        return True
        return False


class Native:
    """A table, its judgements and some sentences, compiled; `begin` starts a run of some sizes."""

    def __init__(self, table: Table, judgements: Sequence[Judgement] = (), sentences: Sequence[Guard] = ()) -> None:
        """Record, write and compile; raise `NoCompilerError` where that is not possible here."""
        self.table, self.steps = table, table.recorded()
        self.index = {r.step.id: n for n, r in enumerate(self.steps)}
        self._writer = _Writer(table, {})
        self.procedures = list(dict.fromkeys(r.step.procedure for r in self.steps))
        source = self._source(judgements, sentences)
        self.labels = {number: name for name, number in self._writer.labels.items()}
        self._library = _compiled(source)
        for name in ("next_of", "event"):
            getattr(self._library, name).restype = ctypes.c_longlong
        self.sizes = Sizes(0, 0)
        self._at: dict[str, int] = {}
        self._block: Any = None

    def begin(self, sizes: Sizes) -> None:
        """Start a run: no process, a zeroed region, a ring at its first index."""
        self.sizes, end = sizes, 0
        for var in self.table.vars.values():
            self._at[var.name] = end
            end += 1 if var.limit is None else int(getattr(sizes, var.limit))
        self._block = (ctypes.c_longlong * (2 * end))()
        numbers = (sizes.size, sizes.entries, sizes.heads, sizes.sums, sizes.first)
        self._library.begin(self._block, *(ctypes.c_longlong(n) for n in numbers))
        self._half = 8 * end

    def save(self) -> bytes:
        """Keep the state, for `restore`."""
        return ctypes.string_at(self._block, self._half)

    def restore(self, saved: bytes) -> None:
        """Go back to a state that was kept."""
        ctypes.memmove(self._block, saved, self._half)

    def get(self, name: str) -> Any:
        """Read a variable: a number, an array as a list, a label of a procedure as its name."""
        at, limit = self._at[name], self.table.vars[name].limit
        if limit is not None:
            return list(self._block[at : at + getattr(self.sizes, limit)])
        return self.labels[self._block[at]] if name.endswith(".at") else self._block[at]

    def next_of(
        self, procedure: int, number: int = 0, start: int = 0, reach: int | None = None, avoided: int = -1
    ) -> tuple[int, int] | None:
        """Give a step of a procedure that is enabled, the number-th (modulo how many are), with a choice from `start`.

        Of the choices, `reach` are tried (None: all). `avoided` is a step that is given only where there is no other.
        None: no step is enabled.
        """
        reach = self.sizes.heads if reach is None else min(reach, self.sizes.heads)
        found = self._library.next_of(procedure, number, start, reach, avoided)
        return None if found < 0 else (found >> 32, (found & 0xFFFFFFFF) - 1)

    def enabled(self, step: int, chosen: int = -1) -> bool:
        """Whether a step can be taken."""
        return bool(self._library.enabled(step, ctypes.c_longlong(chosen)))

    def event(self, step: int, chosen: int = -1, left_out: int = 0) -> list[str]:
        """Take a step that is enabled; give the properties that it violates. Raise `ModelError` where a rule breaks.

        `left_out`: those that are not judged, a bit for each of `model.properties.NAMES`.
        """
        wrong = self._library.event(step, ctypes.c_longlong(chosen), ctypes.c_longlong(left_out))
        if wrong < 0:
            raise ModelError(f"{self.steps[step].step.id}: {BROKEN[-wrong]}")
        return [name for n, name in enumerate(NAMES) if wrong >> n & 1] if wrong else []

    def holds(self, sentence: int, stride: int = 1, offset: int = 0) -> bool:
        """Evaluate a sentence; raise `ModelError` where it reads what there is not.

        Of a sentence about pairs, of every `stride`-th entry (from `offset`) with all others.
        """
        told = self._library.holds(sentence, ctypes.c_longlong(stride), ctypes.c_longlong(offset))
        if told < 0:
            raise ModelError(f"sentence {sentence}: {BROKEN[-told]}")
        return bool(told)

    # Writing

    def _source(self, judgements: Sequence[Judgement], sentences: Sequence[Guard]) -> str:
        writer, variables = self._writer, self.table.vars
        lines = [HEAD, *(f"static num *v_{n}, *w_{n};" for n in range(len(variables)))]
        for number, recorded in enumerate(self.steps):
            lines += writer.step(number, recorded)
            lines += self._judged(number, recorded, judgements)
        for number, sentence in enumerate(sentences):
            lines.append(
                f"static num holds_{number}(void) {{ return {writer.expr(record_term(variables, sentence))}; }}"
            )
        lines += [*self._begin(), *self._doors(len(sentences))]
        return "\n".join(lines)

    def _judged(self, number: int, recorded: Recorded, judgements: Sequence[Judgement]) -> Iterable[str]:
        for when in (True, False):
            parts = []
            for judgement in (j for j in judgements if j.before == when and j.tag in recorded.step.tags):
                args = (Term("choice"),) if when and recorded.step.choice else ()
                said = self._writer.expr(record_term(self.table.vars, judgement.predicate, *args))
                bit = 1 << NAMES.index(judgement.property)
                parts.append(f"(left_out & {bit} || {said} ? 0 : {bit})")
            said = " | ".join(parts) or "0"
            yield f"static num judged_{number}_{int(when)}(num c, num left_out) {{ return {said}; }}"

    def _begin(self) -> Iterable[str]:
        yield "void begin(num *b, num s, num e, num h, num u, num f)"
        yield "{ size = s; entries = e; heads = h; sums = u; first = f; block = b; num *p = b; broken = 0;"
        for half in ("v", "w"):
            for n, var in enumerate(self.table.vars.values()):
                yield f"    {half}_{n} = p; p += {var.limit or 1};"
        for n, var in enumerate(self.table.vars.values()):
            start = self._writer.expr(var.start(Term("bound", ("q",))))
            yield f"    for (num q = 0; q < {var.limit or 1}; q++) v_{n}[q] = {start};"
        yield "}"

    def _doors(self, sentences: int) -> Iterable[str]:
        many = range(len(self.steps))
        yield f"static num (*const here[])(void) = {{ {', '.join(f'here_{n}' for n in many)} }};"
        yield f"static num (*const guards[])(num) = {{ {', '.join(f'guard_{n}' for n in many)} }};"
        yield f"static void (*const takes[])(num) = {{ {', '.join(f'take_{n}' for n in many)} }};"
        for when in (0, 1):
            judged = ", ".join(f"judged_{n}_{when}" for n in many)
            yield f"static num (*const judged_{when}[])(num, num) = {{ {judged} }};"
        yield f"static num (*const said[])(void) = {{ {', '.join(f'holds_{n}' for n in range(sentences)) or '0'} }};"
        chooses = (str(int(r.step.choice is not None)) for r in self.steps)
        yield f"static const int chooses[] = {{ {', '.join(chooses)} }};"
        of = (str(self.procedures.index(r.step.procedure)) for r in self.steps)
        yield f"static const int of[] = {{ {', '.join(of)} }};"
        yield f"enum {{ STEPS = {len(self.steps)} }};"
        yield DOORS


DOORS = """
int enabled(int n, num c) { return guards[n](c) != 0; }
num next_of(int procedure, int number, int start, int reach, int avoided)
{
    num found[STEPS], many = 0, other = -1;
    for (int n = 0; n < STEPS; n++) {
        if (of[n] != procedure || !here[n]()) continue;
        num c = -1, ok = 0;
        if (!chooses[n]) ok = guards[n](-1);
        for (num k = 0; chooses[n] && !ok && k < reach; k++) {
            c = start + k < heads ? start + k : start + k - heads;
            ok = guards[n](c);
        }
        if (!ok) continue;
        if (n == avoided) other = ((num)n << 32) | (c + 1);
        else found[many++] = ((num)n << 32) | (c + 1);
    }
    return many ? found[number % many] : other;
}
num event(int n, num c, num left_out)
{
    num wrong = judged_1[n](c, left_out);
    takes[n](c);
    wrong |= judged_0[n](c, left_out);
    return broken ? -broken : wrong;
}
int holds(int n, num by, num from)
{
    stride = by; offset = from;
    int told = said[n]() != 0;
    stride = 1; offset = 0;
    return broken ? -broken : told;
}
"""


FLAGS = ("-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-w", "-shared", "-fPIC")


def _compiled(source: str) -> Any:
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-") as name:
        path, library = Path(name) / "table.c", Path(name) / "table.so"
        path.write_text(source, encoding="utf-8")
        command = ["cc", *FLAGS, "-o", str(library), str(path)]
        try:
            ran = subprocess.run(command, check=False, capture_output=True, text=True)
        except FileNotFoundError as missing:
            raise NoCompilerError("large rings need a C compiler: install cc (Debian: apt install gcc)") from missing
        if ran.returncode:
            raise NoCompilerError(f"cc does not take what large runs are made of: {ran.stderr.strip()[:300]}")
        return ctypes.CDLL(str(library))
