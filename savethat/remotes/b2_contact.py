"""The first contact with B2, which is soon over where there is no way to it."""

from __future__ import annotations

import threading
from concurrent import futures

from savethat.config import Credentials
from savethat.errors import UnreachableError
from savethat.remotes.b2_account import Account
from savethat.remotes.b2_engine import Engine
from savethat.remotes.b2_retry import FIRST_CONTACT
from savethat.remotes.patience import Patience


def first_contact(
    store: str, bucket: str, realm: str, credentials: Credentials, patience: Patience
) -> Account:
    """Connects, and authorizes where no authorization was kept.

    A name server that does not answer, or a host with many addresses, may hold up a thread for a
    minute, whatever the time limits of a connection. So it is another thread that asks.

    Args:
        store: names bucket and key id, for errors.
        bucket: the bucket's name.
        realm: `production`, or a URL.
        credentials: the application key.
        patience: how long it may go on.

    Raises:
        UnreachableError: no connection in ten seconds, or no answer on one.
        DeniedError: the key is not accepted, or not for this bucket.
        StorageError: there is no such bucket, or no B2 at that URL.
    """
    engine = Engine(patience)
    account = Account(store, bucket, realm, credentials, engine)
    connected: futures.Future[None] = futures.Future()

    def connect() -> None:
        try:
            account.connect()
            connected.set_result(None)
        except BaseException as error:
            connected.set_exception(error)

    patience.check()
    threading.Thread(target=connect, name="b2-contact", daemon=True).start()
    try:
        connected.result(min(FIRST_CONTACT, patience.left()))
    except futures.TimeoutError:
        patience.check()
        if not engine.sockets.any:
            raise UnreachableError(
                f"{store}: it cannot be reached: no connection in {FIRST_CONTACT:.0f} s",
                "try again when there is a way to it; look at b2_realm if there never was",
            ) from None
        connected.result()
    return account
