"""The project's configuration, and the credentials for its bucket.

    load()               where the project is and what its settings say
    credentials()        the B2 application key that goes with them
    store_credentials()  keeps one for later commands

`files` reads TOML, `schema` knows every key and its type, `expansion` puts variables in, `project`
finds the files, `settings` lays them over each other, `model` is what comes out. Reading goes
through the standard library's `tomllib`, because the `toml` package does not read all of TOML 1.0;
writing goes through `toml`, because `tomllib` cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savethat.config.model import (
    DEFAULT_REALM,
    KEY_VARIABLES,
    PROJECT_DIR,
    B2Config,
    CodeConfig,
    Config,
    Credentials,
    QueueConfig,
    SlurmConfig,
    SlurmOptions,
    Sync,
)
from savethat.face import on_first_use

if TYPE_CHECKING:
    from savethat.config.files import read_toml as read_toml
    from savethat.config.keys import credentials as credentials
    from savethat.config.keys import credentials_file as credentials_file
    from savethat.config.keys import in_environment_only as in_environment_only
    from savethat.config.keys import store_credentials as store_credentials
    from savethat.config.project import load as load
    from savethat.config.project import project_dir as project_dir
    from savethat.config.schema import parse_duration as parse_duration

# A worker is given its configuration, and reads no file.
_HOMES = {
    "credentials": "savethat.config.keys",
    "credentials_file": "savethat.config.keys",
    "in_environment_only": "savethat.config.keys",
    "load": "savethat.config.project",
    "parse_duration": "savethat.config.schema",
    "project_dir": "savethat.config.project",
    "read_toml": "savethat.config.files",
    "store_credentials": "savethat.config.keys",
}

__all__ = [
    "DEFAULT_REALM",
    "KEY_VARIABLES",
    "PROJECT_DIR",
    "B2Config",
    "CodeConfig",
    "Config",
    "Credentials",
    "QueueConfig",
    "SlurmConfig",
    "SlurmOptions",
    "Sync",
    "credentials",
    "credentials_file",
    "in_environment_only",
    "load",
    "parse_duration",
    "project_dir",
    "read_toml",
    "store_credentials",
]

__getattr__ = on_first_use(__name__, _HOMES)
