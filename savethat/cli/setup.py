"""`savethat setup`: the B2 credentials, asked for, tested, stored."""

from __future__ import annotations

import dataclasses
import sys

import click

from savethat.cli.session import Session, pass_session, talk, warn


@click.command("setup")
@click.option("--bucket", help="The bucket; default: b2_bucket of savethat.toml.")
@click.option("--key-id", help="The application key's id; asked for where it is not given.")
@click.option("--key-stdin", is_flag=True, help="Read the key from stdin, for scripts.")
@pass_session
def command(session: Session, bucket: str | None, key_id: str | None, key_stdin: bool) -> None:
    """Ask for the B2 credentials, test them and store them.

    They go into a file that only you can read (SAVETHAT_CREDENTIALS, by default in your config
    folder), and never into the project. A key that may do more than is needed earns a warning and
    the way to make one that is restricted to the bucket and b2_prefix.
    """
    from savethat.config import B2Config, Credentials, credentials_file, store_credentials
    from savethat.errors import ConfigError, UsageError
    from savethat.remotes import open_remote
    from savethat.remotes.b2_rights import how_to_restrict

    b2 = session.config.b2
    if bucket is not None:
        b2 = B2Config(bucket, b2.prefix if b2 else "", b2.realm if b2 else "production")
    if b2 is None:
        raise ConfigError(
            "this project has no bucket",
            'write b2_bucket = "NAME" in savethat.toml, or give --bucket NAME',
        )
    if key_id is None:
        if key_stdin:
            raise UsageError("--key-stdin needs the key's id", "savethat setup --key-id ID …")
        key_id = click.prompt("B2 application key id", err=True)
    if key_stdin:
        key = sys.stdin.readline().strip()
    else:
        key = click.prompt("B2 application key (hidden)", hide_input=True, err=True)
    if not key:
        raise UsageError("the key is empty", "paste it, or pipe it into --key-stdin")
    found = Credentials(key_id.strip(), key.strip())
    remote = open_remote(dataclasses.replace(session.config, b2=b2), found)
    warnings = remote.check()
    store_credentials(b2.bucket, found)
    talk(f"The key works for {remote.url}; stored in {credentials_file()}.")
    warn(warnings)
    if warnings:
        talk(how_to_restrict(b2.bucket, b2.prefix))
