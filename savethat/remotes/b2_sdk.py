"""What b2sdk does: it authorizes, finds buckets, and knows the calls of large files.

The home of b2sdk and requests. Importing them takes time and memory, so it is done where they
are needed: what is asked often, `b2_account` asks itself. Their requests go through the engine.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import requests
from b2sdk import v2
from b2sdk.v2 import exception as b2
from typing_extensions import override

from savethat.config import Credentials
from savethat.remotes.b2_authorization import Authorization
from savethat.remotes.b2_engine import Engine, answered
from savethat.remotes.b2_failures import B2Error, GaveUpError, RefusalError


def authorize(
    engine: Engine, realm: str, credentials: Credentials, bucket: str, bucket_id: str | None
) -> tuple[Authorization, dict[str, Any]]:
    """Authorizes, and says what the key may do.

    Args:
        engine: what it talks through.
        realm: `production`, or a URL.
        credentials: the application key; only b2sdk keeps it, in memory.
        bucket: the bucket's name.
        bucket_id: its id, where it is known: one call less.

    Raises:
        B2Error: there is no answer, the key is not accepted, or there is no such bucket for it.
    """
    # The cache holds the bucket's id where the key itself names it.
    api = v2.B2Api(
        v2.InMemoryAccountInfo(), cache=v2.InMemoryCache(), api_config=_configured(engine)
    )
    with own_failures():
        try:
            api.authorize_account(realm, credentials.key_id, credentials.key)
            bucket_id = bucket_id or api.get_bucket_by_name(bucket).id_
        except (KeyError, TypeError) as error:
            raise B2Error(f"{realm} answers, but not as B2 does; correct b2_realm") from error
    info = api.account_info
    authorization = Authorization(
        info.get_api_url(),
        info.get_download_url(),
        info.get_account_auth_token(),
        bucket_id,
        info.get_recommended_part_size(),
        info.get_absolute_minimum_part_size(),
    )
    return authorization, info.get_allowed()


class Calls:
    """b2sdk's calls, one request each.

    Args:
        engine: what they talk through.
    """

    def __init__(self, engine: Engine) -> None:
        self._raw = v2.B2RawHTTPApi(v2.B2Http(_configured(engine)))

    @contextlib.contextmanager
    def made(self) -> Iterator[Any]:
        """The calls, for the time of the block, which raises failures of our own."""
        with own_failures():
            yield self._raw


class _Carried(b2.B2Error):  # type: ignore[misc] # b2sdk has no types
    """One of our own failures on its way through b2sdk, which lets its own errors pass."""

    def __init__(self, failure: B2Error) -> None:
        super().__init__()
        self.failure = failure


class _Session(requests.Session):
    """What b2sdk takes for a session of requests."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    @override
    def request(self, method: Any, url: Any, *_args: Any, **kwargs: Any) -> requests.Response:
        headers = {
            key: value.decode() if isinstance(value, bytes) else str(value)
            for key, value in (kwargs.get("headers") or {}).items()
        }
        data = kwargs.get("data")
        if isinstance(data, io.BytesIO):
            data = data.getvalue()  # of which each try sends all
        try:
            answer = self._engine.request(method, url, headers, data)
            answered(answer)
        except B2Error as failure:
            raise _Carried(failure) from failure
        response = requests.Response()
        response.status_code = answer.status
        response.url = url
        response.headers.update(answer.headers)
        response.raw = io.BytesIO(answer.data)
        return response


def _configured(engine: Engine) -> Any:
    return v2.B2HttpApiConfig(
        http_session_factory=lambda: _Session(engine),
        # Ages are taken by the server's clock: a wrong one here is no reason to stop.
        install_clock_skew_hook=False,
    )


@contextlib.contextmanager
def own_failures() -> Iterator[None]:
    """Raises what b2sdk and requests raise as failures of our own."""
    try:
        yield
    except _Carried as carried:
        raise carried.failure from carried.failure.__cause__
    except (b2.NonExistentBucket, b2.BucketIdNotFound) as error:
        raise RefusalError(400, "bad_bucket_id", str(error)) from error
    except (b2.RestrictedBucket, b2.RestrictedBucketMissing, b2.NotAllowedByAppKeyError) as error:
        raise RefusalError(401, "unauthorized", str(error)) from error
    except requests.RequestException as error:
        raise GaveUpError(str(error)) from error
    except b2.B2Error as error:
        raise B2Error(str(error) or type(error).__name__) from error
