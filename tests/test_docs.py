"""The documentation names what there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest

import savethat
from savethat.cli.main import COMMANDS, cli
from savethat.config import Config

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_every_option_is_documented(name: str) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert f"savethat {name}" in text
    context = click.Context(cli, info_name="savethat")
    command = cli.get_command(context, name)
    assert command is not None
    assert command.help
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) else []:
            assert option in text, f"{name} {option}"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    derived = {"root", "files", "b2"}
    for field in dataclasses.fields(Config):
        assert field.name in text or field.name in derived


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_rooms_of_the_architecture_are_those_of_the_house() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    tree = text.partition("```\nsavethat/")[2].partition("```")[0]
    for path in (ROOT / "savethat").iterdir():
        if path.name not in ("__pycache__", "py.typed", "__main__.py"):
            assert path.name in tree


@pytest.mark.parametrize("name", savethat.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(savethat, name)
    assert name == "__version__" or value.__doc__
