"""What these tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for programs."""
    return tmp_path_factory.mktemp("programs")
