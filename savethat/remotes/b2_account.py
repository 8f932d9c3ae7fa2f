"""A bucket on B2 through b2sdk, authorized: the calls that `b2` is made of, errors translated.

The home of b2sdk, together with `b2_errors`, `b2_session` and `b2_upload`. Importing these takes a
third of a second, so `b2` does it at its first call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from b2sdk import v2
from b2sdk.v2 import exception as b2

from savethat import __version__
from savethat.config.credentials import Credentials
from savethat.errors import DeniedError, StorageError
from savethat.remotes.b2_errors import translated
from savethat.remotes.b2_session import Session

# The most one call gives, and what one class C transaction pays for.
PAGE = 10_000
BILLED = 1_000

# Uploads at a time, of parts and of files together (b2sdk's own default).
_UPLOADS = 10

_NEEDED = ("deleteFiles", "listFiles", "readFiles", "writeFiles")


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of a name: a file, a hide marker, or an upload that was never finished."""

    name: str
    id: str
    size: int
    action: str


class Account:
    """An authorized bucket.

    Args:
        store: names bucket and key id, for errors.
        bucket: the bucket's name.
        realm: `production`, or a URL.
        credentials: the application key; only b2sdk keeps it, in memory.

    Raises:
        UnreachableError: there was no answer.
        DeniedError: the key is not accepted, or not for this bucket.
        StorageError: there is no such bucket, or no B2 at that URL.
    """

    def __init__(self, store: str, bucket: str, realm: str, credentials: Credentials) -> None:
        self.store = store
        self.session = Session()
        self._api = v2.B2Api(
            v2.InMemoryAccountInfo(),
            # Holds the bucket's id where the key itself names it: one call less.
            cache=v2.InMemoryCache(),
            max_upload_workers=_UPLOADS,
            api_config=v2.B2HttpApiConfig(
                http_session_factory=lambda: self.session,
                # Ages are taken by the server's clock: a wrong one here is no reason to stop.
                install_clock_skew_hook=False,
                user_agent_append=f"savethat/{__version__}",
            ),
        )
        with translated(store):
            try:
                self._api.authorize_account(realm, credentials.key_id, credentials.key)
            except (KeyError, TypeError) as error:
                raise StorageError(
                    f"{store}: {realm} answers, but not as B2 does", "correct b2_realm"
                ) from error
            self.bucket = self._api.get_bucket_by_name(bucket)
        # Files beyond this are sent in parts, bytes.
        self.part_size: int = self._api.account_info.get_recommended_part_size()

    def check_rights(self, prefix: str) -> None:
        """Asks whether the key may do all that is needed below `prefix`.

        Raises:
            DeniedError: it may not; names the missing capabilities.
        """
        allowed = self._api.account_info.get_allowed()
        missing = sorted(set(_NEEDED) - set(allowed["capabilities"]))
        if missing:
            raise DeniedError(
                f"{self.store}: the key lacks {', '.join(missing)}",
                "make a key with read and write access; `savethat setup` stores it",
            )
        next(self.names(prefix, page=1), None)

    def names(
        self, prefix: str, start: str = "", *, page: int = PAGE
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of the newest visible versions by name, as B2 gives them."""
        cursor: str | None = max(start, prefix)
        while cursor is not None:
            with translated(self.store, prefix):
                answer = self._api.session.list_file_names(
                    self.bucket.id_, cursor or None, page, prefix
                )
            yield answer["files"]
            cursor = answer["nextFileName"]

    def versions(
        self, prefix: str, start: str = "", *, page: int = PAGE
    ) -> Iterator[list[Version]]:
        """Pages of every version, by name, the newest first."""
        name: str | None = max(start, prefix)
        file_id: str | None = None
        while name is not None:
            with translated(self.store, prefix):
                answer = self._api.session.list_file_versions(
                    self.bucket.id_, name or None, file_id, page, prefix
                )
            yield [
                Version(
                    item["fileName"],
                    item["fileId"],
                    item.get("contentLength") or 0,
                    item["action"],
                )
                for item in answer["files"]
            ]
            name, file_id = answer["nextFileName"], answer["nextFileId"]

    def delete(self, version: Version) -> bool:
        """Deletes one version; False where it was not there any more."""
        lost = self.session.lost
        session = self._api.session
        with translated(self.store, version.name):
            try:
                if version.action == "start":
                    session.cancel_large_file(version.id)
                else:
                    session.delete_file_version(version.id, version.name)
            except (b2.FileNotPresent, b2.BadRequest) as error:
                if isinstance(error, b2.BadRequest) and version.action != "start":
                    raise
                # b2sdk asked again after an answer was lost: the first time did it.
                return self.session.lost != lost
        return True

    def cancel_unfinished(self, name: str) -> None:
        """Cancels the large uploads of `name` that were never finished."""
        with translated(self.store, name):
            for file in self.bucket.list_unfinished_large_files(prefix=name):
                if file.file_name == name:
                    self.delete(Version(name, file.file_id, 0, "start"))
