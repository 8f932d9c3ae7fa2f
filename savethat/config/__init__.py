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

from savethat.config.credentials import (
    KEY_VARIABLES,
    Credentials,
    credentials,
    credentials_file,
    in_environment_only,
    store_credentials,
)
from savethat.config.files import read_toml
from savethat.config.model import (
    DEFAULT_REALM,
    B2Config,
    CodeConfig,
    Config,
    QueueConfig,
    SlurmConfig,
    SlurmOptions,
    Sync,
)
from savethat.config.project import PROJECT_DIR, load, project_dir
from savethat.config.schema import parse_duration

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
