"""A bucket on B2 through b2sdk, authorized: the calls that `b2` is made of, errors translated.

The home of b2sdk, together with the other modules named `b2_`. Importing them takes a third of a
second, so `b2` does it at its first call.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from b2sdk import v2
from b2sdk.v2 import exception as b2

from savethat import __version__
from savethat.config.credentials import Credentials
from savethat.errors import DeniedError, StorageError
from savethat.remotes import b2_rights
from savethat.remotes.b2_doubts import Doubts
from savethat.remotes.b2_errors import translated
from savethat.remotes.b2_session import Session

# The most one call gives, and what one class C transaction pays for.
PAGE = 10_000
BILLED = 1_000

# Parts of large files at a time, up and down.
_PARTS = 10


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of a name: a file, a hide marker, or an upload that was never finished."""

    name: str
    id: str
    size: int
    action: str
    sha1: str | None = None


class Account:
    """An authorized bucket.

    Args:
        store: names bucket and key id, for errors.
        bucket: the bucket's name.
        realm: `production`, or a URL.
        credentials: the application key; only b2sdk keeps it, in memory.
        session: what it talks through.

    Raises:
        UnreachableError: there was no answer.
        DeniedError: the key is not accepted, or not for this bucket.
        StorageError: there is no such bucket, or no B2 at that URL.
    """

    def __init__(
        self, store: str, bucket: str, realm: str, credentials: Credentials, session: Session
    ) -> None:
        self.store = store
        self.session = session
        self.patience = session.patience
        self.doubts = Doubts()
        self.parts = ThreadPoolExecutor(_PARTS, thread_name_prefix="b2-part")
        self._bucket = bucket
        self._renewal = threading.Lock()
        self._api = v2.B2Api(
            v2.InMemoryAccountInfo(),
            # Holds the bucket's id where the key itself names it: one call less.
            cache=v2.InMemoryCache(),
            api_config=v2.B2HttpApiConfig(
                http_session_factory=lambda: session,
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
            self.bucket_id: str = self._api.get_bucket_by_name(bucket).id_
        session.renew = self._renew
        # b2sdk's calls, one request each, and its upload URLs.
        self.api = self._api.session
        self.info = self._api.account_info
        # Files beyond this are sent in parts, bytes.
        self.part_size: int = self.info.get_recommended_part_size()
        self.min_part_size: int = self.info.get_absolute_minimum_part_size()

    def check_rights(self, prefix: str) -> list[str]:
        """Asks whether the key may do all that is needed below `prefix`.

        Returns:
            What it may do beyond that.

        Raises:
            DeniedError: it may not; names the missing capabilities.
        """
        allowed = self.info.get_allowed()
        if missing := b2_rights.missing(allowed):
            raise DeniedError(
                f"{self.store}: the key lacks {', '.join(missing)}",
                "make a key with read and write access; `savethat setup` stores it",
            )
        next(self.names(prefix, page=1), None)
        return b2_rights.excess(allowed, self._bucket, prefix)

    def names(
        self, prefix: str, start: str = "", *, page: int = PAGE
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of the newest visible versions by name, as B2 gives them."""
        cursor: str | None = max(start, prefix)
        while cursor is not None:
            with translated(self.store, prefix):
                answer = self.api.list_file_names(self.bucket_id, cursor or None, page, prefix)
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
                answer = self.api.list_file_versions(
                    self.bucket_id, name or None, file_id, page, prefix
                )
            yield [
                Version(
                    item["fileName"],
                    item["fileId"],
                    item.get("contentLength") or 0,
                    item["action"],
                    sha1_of(item),
                )
                for item in answer["files"]
            ]
            name, file_id = answer["nextFileName"], answer["nextFileId"]

    def delete(self, version: Version) -> bool:
        """Deletes one version; False where it was not there any more, and we did not delete it."""
        lost = self.session.lost
        try:
            with translated(self.store, version.name):
                try:
                    if version.action == "start":
                        self.api.cancel_large_file(version.id)
                    else:
                        self.api.delete_file_version(version.id, version.name)
                except (b2.FileNotPresent, b2.BadRequest) as error:
                    if isinstance(error, b2.BadRequest) and version.action != "start":
                        raise
                    # It was asked again after an answer was lost: the first time did it.
                    return self.session.lost != lost or self.doubts.may_have_deleted(version.id)
        except StorageError:
            if self.session.lost != lost:
                self.doubts.add_deletion(version.id)
            raise
        return True

    def unfinished(self, name: str) -> dict[str, str]:
        """The large uploads of `name` that were never finished: SHA-1 of the whole file, by id."""
        found: dict[str, str] = {}
        file_id: str | None = None
        while True:
            with translated(self.store, name):
                answer = self.api.list_unfinished_large_files(self.bucket_id, file_id, None, name)
            for item in answer["files"]:
                if item["fileName"] == name:
                    info = item.get("fileInfo") or {}
                    found[item["fileId"]] = info.get(v2.LARGE_FILE_SHA1, "")
            file_id = answer["nextFileId"]
            if file_id is None:
                return found

    def together(self, tasks: Iterable[Callable[[], None]], stop: threading.Event) -> None:
        """Carries out what moves the parts of one file, several at a time.

        Args:
            tasks: each for one part.
            stop: set when there is no sense in going on: tasks look at it. When this returns, or
                raises, none is under way any more.

        Raises:
            Exception: the first that one raised.
        """
        futures = [self.parts.submit(task) for task in tasks]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        finally:
            stop.set()
            wait(futures)

    def parts_of(self, name: str, file_id: str) -> dict[int, str]:
        """The parts that an unfinished large upload has: SHA-1 by number."""
        found: dict[int, str] = {}
        start: int | None = None
        while True:
            with translated(self.store, name):
                answer = self.api.list_parts(file_id, start, BILLED)
            found |= {part["partNumber"]: part["contentSha1"] for part in answer["parts"]}
            start = answer["nextPartNumber"]
            if start is None:
                return found

    def url_of(self, name: str) -> str:
        """Where the newest version of `name` is downloaded from."""
        url: str = self._api.get_download_url_for_file_name(self._bucket, name)
        return url

    def url_of_version(self, version: str) -> str:
        """Where the version of this id is downloaded from."""
        url: str = self._api.get_download_url_for_fileid(version)
        return url

    def _renew(self, token: str) -> str:
        """A good account token instead of `token`; threads that come late get the new one."""
        with self._renewal:
            if self.info.get_account_auth_token() == token:
                self.api.authorize_automatically()
            renewed: str = self.info.get_account_auth_token()
            return renewed


def sha1_of(item: Mapping[str, Any]) -> str | None:
    """The SHA-1 of an item of a listing, as far as B2 or who sent it says."""
    sha1: str = item.get("contentSha1") or ""
    if sha1 not in ("", "none"):
        return sha1.rpartition(":")[2]  # some clients leave it unverified
    # Files sent in parts have none of their own.
    return (item.get("fileInfo") or {}).get("large_file_sha1")
