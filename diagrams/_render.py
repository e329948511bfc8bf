"""DOT to pictures: with `dot` where there is one, otherwise with the libraries that pygraphviz brings along."""

from __future__ import annotations

import importlib
import shutil
import subprocess

__all__ = ["RenderError", "render"]


class RenderError(Exception):
    """There is no Graphviz to render with, or it refused the DOT that it was given."""


def render(dot: str, kind: str = "svg") -> bytes:
    """Lay out and draw DOT as `kind` (``svg``, ``png``); raise `RenderError` where nothing can, or on bad DOT."""
    program = shutil.which("dot")
    return _by_program(program, dot, kind) if program else _by_library(dot, kind)


def _by_program(program: str, dot: str, kind: str) -> bytes:
    done = subprocess.run([program, f"-T{kind}"], input=dot.encode(), capture_output=True, check=False)
    if done.returncode:
        raise RenderError(f"{program} refused a picture: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _by_library(dot: str, kind: str) -> bytes:
    try:
        graphviz = importlib.import_module("pygraphviz")
    except ImportError as missing:
        raise RenderError(
            "nothing here can render a picture: install Graphviz so that `dot` is on PATH (Debian: apt-get install "
            "graphviz), or the wheel pygraphviz (pip install 'vhost-inflight[render]')"
        ) from missing
    try:
        return bytes(graphviz.AGraph(string=dot).draw(format=kind, prog="dot"))
    except (ValueError, OSError) as refused:
        raise RenderError(f"pygraphviz refused a picture: {refused}") from refused
