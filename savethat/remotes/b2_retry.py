"""The whole policy of what is asked again, how often and how long. b2sdk's own never comes to it.

`b2_engine` carries it out, for its own requests and for b2sdk's.

What is repeated
    - No answer at all, 408, 409, 429 and 5xx: up to 8 times, waiting 0.25 s, then twice as long
      each time up to 16 s, give or take a quarter. A call that transfers no data is not begun again
      120 s after its first try; one that does takes as long as its tries move.
    - Retry-After is obeyed up to 60 s. A server that asks for more is not asked again.
    - 401 with an expired or unknown token: the account is authorized anew, by one thread for all,
      and the call repeated, up to 3 times. An upload asks for another upload URL.
    - A download that breaks off goes on where it stopped, for as long as there are more bytes each
      time. One that arrives damaged is fetched again, twice.
    - An upload asks for a new upload URL each time; only after 429 does the old one stay good.
      https://www.backblaze.com/docs/cloud-storage-integration-checklist
What is not
    - 401 `unauthorized` (the key may not), 403 (a cap) and every other 4xx: they stay as they are.
    - What is no answer of B2, as a captive portal's.
    - Where no connection was ever made: 2 tries and 10 s in all, for all threads together. So a
      compute node without a way out is found out.
    - Where nothing answers any more: after 30 s of silence each call fails at its first try.
How long one request may take (b2sdk: 1,200 s)
    - 15 s to connect; 60 s without a byte of the answer, 300 s where the server copies or joins.
    - An upload may take as long as it moves: only 30 s without any progress end it. Its answer may
      take longer by what the system's buffers still hold: up to 4 MB at 16 KB/s.
    So what transfers no data ends within 120 s and one request more. A transfer ends within nine
    tries, none of which lasts longer than a minute after its last byte moved, but for its answer.
Hurry
    With `Remote.hurry` all of this ends at that moment: waits that would last beyond it are not
    begun, time limits are cut to what is left, and open connections are broken off.

Source: what is permanent and what is not, of https://www.backblaze.com/docs/cloud-storage-uploading
and https://www.backblaze.com/docs/cloud-storage-rate-limits.
"""

from __future__ import annotations

import math
import random
import time

from savethat.errors import UnreachableError
from savethat.remotes.b2_failures import REPEATED, B2Error, GaveUpError, NoAnswerError, RefusalError
from savethat.remotes.patience import Patience

CONNECT_TIMEOUT = 15.0
READ_TIMEOUT = 60.0
JOIN_TIMEOUT = 300.0
SEND_TIMEOUT = 30.0
# What the system may have taken of an upload that is not sent yet, and how slowly it may go.
BUFFERED = 4 * 1024 * 1024
SLOWEST = 16 * 1024

# Until a connection was made.
FIRST_CONNECT_TIMEOUT = 4.0
FIRST_TRIES = 2
FIRST_CONTACT = 9.5

SILENCE = 30.0
LIMIT = 120.0
# Of a transfer, which takes as long as it moves.
NO_LIMIT = math.inf
RENEWALS = 3

_WAITS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0)
_LONGEST_WAIT = 60.0


class Tries:
    """The tries of one call.

    Args:
        patience: how long the remote may go on.
        limit: seconds after which there is no other try.
    """

    def __init__(self, patience: Patience, limit: float) -> None:
        self._patience = patience
        self._end = time.monotonic() + limit
        self._waits = iter(_WAITS)
        self.count = 1

    def wait(self, why: str, retry_after: str | float | None = None) -> None:
        """Waits for the next try.

        Args:
            why: what happened, for the error.
            retry_after: what the server asked for; a date, which is allowed, too, does not count.

        Raises:
            GaveUpError: there is none.
        """
        wait = next(self._waits, None)
        if wait is None:
            raise GaveUpError(f"{why} ({self.count} tries)")
        asked = _seconds(retry_after)
        if asked > _LONGEST_WAIT:
            raise GaveUpError(f"{why}; it asks to be left alone for {asked:.0f} s")
        wait = max(wait * random.uniform(0.75, 1.25), asked)
        if time.monotonic() + wait > self._end:
            raise GaveUpError(f"{why} ({self.count} tries)")
        self.count += 1
        try:
            self._patience.wait(wait)
        except UnreachableError as error:
            raise GaveUpError(f"{error.message}: {why}") from None


def is_repeated(failure: B2Error) -> bool:
    """Whether an upload that ended so is worth another try."""
    if isinstance(failure, RefusalError):
        return failure.status in REPEATED or failure.token_bad
    return isinstance(failure, NoAnswerError)


def _seconds(retry_after: str | float | None) -> float:
    try:
        return max(float(retry_after or 0), 0.0)
    except ValueError:
        return 0.0
