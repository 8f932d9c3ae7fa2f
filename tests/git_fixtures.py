"""Fixtures of tests that make checkouts of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the developer's git settings nor a checkout around the temporary folder count."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder, empty."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
