"""Other clients of B2, told to use the test server."""

from __future__ import annotations

from pathlib import Path

from tests.b2_fixtures import b2_key
from tests.b2server.client import B2Server


def rclone_environment(server: B2Server, folder: Path) -> dict[str, str]:
    """The environment in which rclone's `:b2:` is the server; `folder` is where it keeps things."""
    return {
        "RCLONE_B2_ENDPOINT": server.url,
        "RCLONE_B2_ACCOUNT": server.key_id,
        "RCLONE_B2_KEY": server.key,
        "RCLONE_CONFIG": str(folder / "rclone.conf"),
    }


def b2_environment(server: B2Server, folder: Path) -> dict[str, str]:
    """The environment in which Backblaze's own command talks to the server."""
    return {
        **b2_key(server),
        "B2_ENVIRONMENT": server.url,
        "B2_ACCOUNT_INFO": str(folder / "account.sqlite"),
    }
