"""How the command line ends: what a user can mend is told in one line, and the exit status says what came of it.

0: yes. 1: a checked no. 2: bad usage, input that cannot be read, or the environment's fault. 130: Ctrl-C, of which the
door tells (`vhost_inflight.__main__`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from refimpl.documents import STDIO
from refimpl.errors import InflightError, UsageError

__all__ = ["STDIO", "Ending", "ended", "printable", "refuse", "write_json"]


def write_json(file: Path, document: Any) -> None:
    """Write an answer as JSON to a file, or for ``-`` to standard output."""
    text = json.dumps(document, indent=2) + "\n"
    if file == STDIO:
        sys.stdout.write(text)
    else:
        file.write_text(text, encoding="utf-8")


def printable(said: str) -> str:
    r"""Write what is no letter of a line (NUL, ESC, a line's end ...) as Python does, ``\x1b``; a tab may stay."""
    if said.isprintable():
        return said
    return "".join(
        one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode("ascii") for one in said
    )


class Ending:
    """Lets Ctrl-C, SIGTERM and SIGHUP end this program as an exception, so that processes and files of a test go too.

    What is raised in a finalizer or at a fork Python prints and ignores: `again` raises it once more.
    """

    def __init__(self) -> None:
        """Nothing has come."""
        self.came: int | None = None

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Hear the signals, but those that this program was started to ignore, as nohup does."""
        numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
        before, printed = {n: signal.signal(n, self._hears) for n in numbers}, sys.unraisablehook
        sys.unraisablehook = lambda ignored: None if self.came and self._is_its(ignored.exc_value) else printed(ignored)
        try:
            yield
        except Exception:
            self.again()  # a process of the test had the signal too
            raise
        finally:
            sys.unraisablehook = printed
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hears(self, number: int, _frame: object) -> None:
        self.came = number
        self.again()

    def again(self) -> None:
        """Raise what has come, if anything has: it may have been lost."""
        if self.came == signal.SIGINT:
            raise KeyboardInterrupt
        if self.came is not None:
            sys.exit(128 + self.came)

    @staticmethod
    def _is_its(error: BaseException | None) -> bool:
        return isinstance(error, (KeyboardInterrupt, SystemExit))


def ended(run: Callable[[], bool | None], expected: type[Exception] = InflightError) -> NoReturn:
    """Run something, and exit: 1 if it returns False, 2 with a line for an error of the reference or the system.

    ``expected`` is another kind of error that is told so. Any other is a mistake of ours and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow that the terminal has no letter for ends nothing
    try:
        yes = run()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python flushes once more, and complains
        sys.exit(2)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except UsageError as error:
        refuse(error.rule)  # whoever reads it knows who the caller is
    except (InflightError, expected) as error:
        refuse(str(error))
    sys.exit(1 if yes is False else 0)


def refuse(what: str) -> NoReturn:
    """Say in a line what has to be mended, and exit with 2."""
    print(f"vhost-inflight: {what}", file=sys.stderr)
    sys.exit(2)
