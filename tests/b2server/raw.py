"""A client that is no client library: B2 calls as plain HTTP, by the API's documentation."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import urllib.parse
from typing import Any, NamedTuple

from .client import B2Server


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        assert self.json["status"] == self.status
        assert self.json["message"]
        return self.status, self.json["code"]


class Raw:
    """An authorized account, and the bucket of the server; each call on its own connection."""

    def __init__(self, server: B2Server, key_id: str = "", key: str = "") -> None:
        self.server, self.host = server, urllib.parse.urlsplit(server.url).netloc
        credentials = f"{key_id or server.key_id}:{key or server.key}".encode()
        basic = {"Authorization": "Basic " + base64.b64encode(credentials).decode()}
        self.account = self.http("GET", "/b2api/v3/b2_authorize_account", None, basic)
        if self.account.status == 200:
            self.token = self.account.json["authorizationToken"]
            buckets = self.call(
                "b2_list_buckets",
                accountId=self.account.json["accountId"],
                bucketName=server.bucket,
            )
            self.bucket_id: str = buckets.json["buckets"][0]["bucketId"]

    def http(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def call(self, name: str, token: str = "", **params: Any) -> Answer:
        headers = {"Authorization": token or self.token}
        return self.http("POST", f"/b2api/v3/{name}", json.dumps(params).encode(), headers)

    def upload_url(self) -> Any:
        return self.call("b2_get_upload_url", bucketId=self.bucket_id).json

    def upload(
        self,
        name: str,
        data: bytes = b"",
        url: Any = None,
        sha1: str = "",
        info: dict[str, str] | None = None,
    ) -> Answer:
        url = url or self.upload_url()
        sent = {
            "Authorization": url["authorizationToken"],
            "X-Bz-File-Name": urllib.parse.quote(name),
            "Content-Type": "b2/x-auto",
            "X-Bz-Content-Sha1": sha1 or hashlib.sha1(data).hexdigest(),
            **{f"X-Bz-Info-{key}": value for key, value in (info or {}).items()},
        }
        return self.http("POST", urllib.parse.urlsplit(url["uploadUrl"]).path, data, sent)

    def download(self, name: str, method: str = "GET", **headers: str) -> Answer:
        path = f"/file/{self.server.bucket}/{urllib.parse.quote(name)}"
        return self.http(method, path, None, {"Authorization": self.token, **headers})

    def names(self, page: int = 100, **params: Any) -> list[tuple[str, str]]:
        found, start = [], None
        while True:
            answer = self.call(
                "b2_list_file_names",
                bucketId=self.bucket_id,
                startFileName=start,
                maxFileCount=page,
                **params,
            ).json
            found += [(file["fileName"], file["action"]) for file in answer["files"]]
            start = answer["nextFileName"]
            if start is None:
                return found

    def empty(self) -> None:
        for file in self.server.files(versions=True):
            self.call("b2_delete_file_version", fileName=file["fileName"], fileId=file["fileId"])
