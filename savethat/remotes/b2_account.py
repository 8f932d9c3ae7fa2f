"""A bucket on B2, authorized: the calls that `b2` is made of, errors translated."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from savethat.config import Credentials
from savethat.errors import DeniedError, StorageError
from savethat.remotes import b2_rights
from savethat.remotes.b2_authorization import Authorization, Kept
from savethat.remotes.b2_doubts import Doubts
from savethat.remotes.b2_engine import Engine, answered
from savethat.remotes.b2_errors import translated
from savethat.remotes.b2_failures import RefusalError
from savethat.remotes.b2_urls import Urls
from savethat.remotes.pace import Pace
from savethat.remotes.ranges import FULL, Page, Place

if TYPE_CHECKING:
    from savethat.remotes.b2_sdk import Calls
    from savethat.remotes.b2_wire import Answer

# The most one call gives, and what one class C transaction pays for.
PAGE = 10_000
BILLED = FULL

# Info entries that other clients know, too.
MTIME = "src_last_modified_millis"
LARGE_SHA1 = "large_file_sha1"

_API = "b2api/v3"
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
    """A bucket with the key that opens it.

    Args:
        store: names bucket and key id, for errors.
        bucket: the bucket's name.
        realm: `production`, or a URL.
        credentials: the application key.
        engine: what it talks through.
    """

    def __init__(
        self, store: str, bucket: str, realm: str, credentials: Credentials, engine: Engine
    ) -> None:
        self.store = store
        self.engine = engine
        self.patience = engine.patience
        self.doubts = Doubts()
        self.parts = ThreadPoolExecutor(_PARTS, thread_name_prefix="b2-part")
        # How many small files are sent at a time.
        self.pace = Pace()
        self.urls = Urls(lambda: self.call("b2_get_upload_url", bucketId=self._known.bucket_id))
        self._bucket, self._realm, self._credentials = bucket, realm, credentials
        self._kept = Kept(realm, credentials, bucket)
        self._renewal = threading.Lock()
        self._authorization: Authorization | None = None
        # What the key may do, once this process has asked.
        self._allowed: dict[str, Any] | None = None

    def connect(self) -> None:
        """Makes the first contact: with the authorization that was kept, or for one.

        Raises:
            UnreachableError: there was no answer.
            DeniedError: the key is not accepted, or not for this bucket.
            StorageError: there is no such bucket, or no B2 at that URL.
        """
        kept = self._kept.read()
        if kept is not None and self.engine.reach(kept.api_url):
            self._authorization = kept
        else:
            self._authorize()
        self.engine.renew = self._renew

    @property
    def bucket_id(self) -> str:
        """The bucket's id."""
        return self._known.bucket_id

    @property
    def part_size(self) -> int:
        """Files beyond this are sent in parts, bytes."""
        return self._known.part_size

    @property
    def min_part_size(self) -> int:
        """The least of a part, bytes."""
        return self._known.min_part_size

    @property
    def who(self) -> tuple[str, str]:
        """What b2sdk's calls begin with: where they go, and the account's token."""
        return self._known.api_url, self._known.token

    @functools.cached_property
    def sdk(self) -> Calls:
        """B2sdk's calls, for what is rare and large."""
        from savethat.remotes.b2_sdk import Calls  # slow to import

        return Calls(self.engine)

    def call(self, call: str, **question: Any) -> dict[str, Any]:
        """Asks B2; what is None is left out.

        Raises:
            B2Error: there is no answer, or none of use.
        """
        url, token = self.who
        return self.engine.call(f"{url}/{_API}/{call}", token, question)

    def check_rights(self, prefix: str) -> list[str]:
        """Asks whether the key may do all that is needed below `prefix`.

        Returns:
            What it may do beyond that.

        Raises:
            DeniedError: it may not; names the missing capabilities.
        """
        with self._renewal:
            allowed = self._allowed or self._authorize()
        if missing := b2_rights.missing(allowed):
            raise DeniedError(
                f"{self.store}: the key lacks {', '.join(missing)}",
                "make a key with read and write access; `savethat setup` stores it",
            )
        next(self.names(prefix, page=1), None)
        return b2_rights.excess(allowed, self._bucket, prefix)

    def names(
        self, prefix: str, start: str = "", *, page: int = PAGE, delimiter: str | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of the newest visible versions by name, as B2 gives them.

        With a delimiter, names that go on after it are one item, of the action `folder`.
        """
        place: Place | None = Place(max(start, prefix))
        while place is not None:
            items, place = self._page(
                "b2_list_file_names", prefix, place, page, delimiter=delimiter
            )
            yield items

    def page(self, prefix: str, start: str) -> Answer:
        """One page of what `names` gives, unread."""
        return self._listed("b2_list_file_names", prefix, Place(max(start, prefix)), PAGE)

    def versions(self, prefix: str, start: Place, size: int = PAGE) -> Page[Version]:
        """A page of every version, by name, the newest first."""
        items, place = self._page("b2_list_file_versions", prefix, start, size)
        versions = [
            Version(
                item["fileName"],
                item["fileId"],
                item.get("contentLength") or 0,
                item["action"],
                sha1_of(item),
            )
            for item in items
        ]
        return Page(versions, place)

    def delete(self, version: Version) -> bool:
        """Deletes one version; False where it was not there any more, and we did not delete it."""
        lost = self.engine.lost
        begun = version.action == "start"
        try:
            with translated(self.store, version.name):
                try:
                    if begun:
                        self.call("b2_cancel_large_file", fileId=version.id)
                    else:
                        self.call(
                            "b2_delete_file_version", fileId=version.id, fileName=version.name
                        )
                except RefusalError as refused:
                    if not (refused.missing or (begun and refused.status == 400)):
                        raise
                    # It was asked again after an answer was lost: the first time did it.
                    return self.engine.lost != lost or self.doubts.may_have_deleted(version.id)
        except StorageError:
            if self.engine.lost != lost:
                self.doubts.add_deletion(version.id)
            raise
        return True

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

    def url_of(self, name: str) -> str:
        """Where the newest version of `name` is downloaded from."""
        return f"{self._known.download_url}/file/{quote(self._bucket)}/{quote(name)}"

    def url_of_version(self, version: str) -> str:
        """Where the version of this id is downloaded from."""
        call = "b2_download_file_by_id"
        return f"{self._known.download_url}/{_API}/{call}?fileId={quote(version)}"

    @property
    def _known(self) -> Authorization:
        assert self._authorization is not None
        return self._authorization

    def _page(
        self, call: str, prefix: str, start: Place, size: int, **question: Any
    ) -> tuple[list[dict[str, Any]], Place | None]:
        """The items of a listing that one call brings, and where it goes on."""
        answer = self._listed(call, prefix, start, size, **question)
        return read_page(self.store, prefix, answer)

    def _listed(self, call: str, prefix: str, start: Place, size: int, **question: Any) -> Answer:
        """What one call brings of a listing, unread."""
        url, token = self.who
        with translated(self.store, prefix):
            return self.engine.ask(
                f"{url}/{_API}/{call}",
                token,
                {
                    "bucketId": self.bucket_id,
                    "startFileName": start.name or None,
                    "startFileId": start.id,
                    "maxFileCount": size,
                    "prefix": prefix,
                    **question,
                },
            )

    def _authorize(self) -> dict[str, Any]:
        """Asks for an authorization, keeps it, and gives back what the key may do."""
        from savethat.remotes.b2_sdk import authorize  # slow to import

        known = self._authorization.bucket_id if self._authorization else None
        with translated(self.store):
            self._authorization, self._allowed = authorize(
                self.engine, self._realm, self._credentials, self._bucket, known
            )
        self._kept.write(self._authorization)
        return self._allowed

    def _renew(self, token: str) -> str:
        """A good account token instead of `token`; threads that come late get the new one."""
        with self._renewal:
            if self._known.token == token:
                kept = self._kept.read()
                if kept is not None and kept.token != token:
                    self._authorization = kept  # another process was faster
                else:
                    self._authorize()
            return self._known.token


def sha1_of(item: Mapping[str, Any]) -> str | None:
    """The SHA-1 of an item of a listing, as far as B2 or who sent it says."""
    sha1: str = item.get("contentSha1") or ""
    if sha1 not in ("", "none"):
        return sha1.rpartition(":")[2]  # some clients leave it unverified
    # Files sent in parts have none of their own.
    return (item.get("fileInfo") or {}).get(LARGE_SHA1)


def read_page(store: str, prefix: str, answer: Answer) -> tuple[list[dict[str, Any]], Place | None]:
    """The items of a page, and where the listing of a prefix goes on; None where it does not.

    Raises:
        StorageError: it is not one of B2's.
    """
    with translated(store, prefix):
        page = answered(answer)
    name = page["nextFileName"]
    # Only versions have an id to go on from.
    return page["files"], None if name is None else Place(name, page.get("nextFileId"))
