"""B2's authorization, kept between two commands in a file that only the user can read.

It costs a transaction, as does the look-up of the bucket's id, and both cost a round trip. The file
has the account's token, which B2 takes for a day, and never the application key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from typing import Any

from savethat import cache
from savethat.config import Credentials

# Seconds; B2's tokens are good for 24 hours.
_GOOD = 20 * 3600


@dataclasses.dataclass(frozen=True)
class Authorization:
    """What b2_authorize_account says, with the bucket's id.

    Args:
        api_url: where calls go.
        download_url: where files come from.
        token: the account's.
        bucket_id: the bucket's.
        part_size: files beyond this are sent in parts, bytes.
        min_part_size: the least of a part, bytes.
    """

    api_url: str
    download_url: str
    token: str = dataclasses.field(repr=False)
    bucket_id: str
    part_size: int
    min_part_size: int


class Kept:
    """The file of one key and bucket.

    Args:
        realm: `production`, or a URL.
        credentials: the application key; the file is named by a hash of it, so that another key
            never finds what this one was given.
        bucket: the bucket's name.
    """

    def __init__(self, realm: str, credentials: Credentials, bucket: str) -> None:
        words = "\n".join((realm, credentials.key_id, credentials.key, bucket))
        self._name = f"b2-{hashlib.sha256(words.encode()).hexdigest()[:32]}.json"

    def read(self) -> Authorization | None:
        """What was kept, while it is good."""
        content = cache.read(self._name)
        if not isinstance(content, dict) or not _is_recent(content.pop("made", None)):
            return None
        wanted = {field.name: field.type for field in dataclasses.fields(Authorization)}
        found = {name: type(value).__name__ for name, value in content.items()}
        return Authorization(**content) if found == wanted else None

    def write(self, authorization: Authorization) -> None:
        """Keeps what was just said."""
        cache.write(self._name, {**dataclasses.asdict(authorization), "made": time.time()})


def _is_recent(made: Any) -> bool:
    return isinstance(made, float) and 0 <= time.time() - made <= _GOOD
