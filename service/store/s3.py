"""The bytes of the objects in an S3-compatible store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from service.errors import OutOfResourcesError
from service.store.objects import UNBOUNDED_MB, Draft, HeldDraft, new_key, unknown

# A sender waits meanwhile: tell it soon to send again later.
PATIENCE = Config(
    connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}
)
_NOTHING_THERE = frozenset({"404", "NoSuchKey", "NotFound"})  # HEAD has no body that names it


class S3Objects:
    """Objects in an S3-compatible store, address `s3://bucket/prefix`.

    Credentials come from the environment in the usual way of S3 clients.
    """

    def __init__(self, url: str, endpoint: str = "") -> None:
        address = urlsplit(url)
        self._bucket = address.netloc
        self._prefix = address.path.strip("/")
        self._client: Any = boto3.client("s3", endpoint_url=endpoint or None, config=PATIENCE)

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def put(self, data: bytes | memoryview, suffix: str = "") -> str:
        """Upload under a new key."""
        key = new_key(suffix)
        self.keep(key, data)
        return key

    def draft(self, suffix: str = "") -> Draft:
        """Hold the pieces of an object: it is uploaded in one request."""
        return HeldDraft(self, suffix)

    def keep(self, key: str, data: bytes | memoryview) -> None:
        """Upload in one request; the store answers only when the bytes are durable."""
        with _told_plainly():
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=bytes(data))

    def get(self, key: str) -> bytes:
        """Download the bytes of a key."""
        with _told_plainly():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            except self._client.exceptions.NoSuchKey as error:
                raise unknown(key) from error
            return bytes(answer["Body"].read())

    def holds(self, key: str) -> bool:
        """Ask for what the store says of a key."""
        with _told_plainly():
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._name(key))
            except ClientError as error:
                if _what(error) in _NOTHING_THERE:
                    return False
                raise
        return True

    def path(self, key: str) -> Path | None:
        """No local file: always None."""
        return None

    def delete(self, key: str) -> None:
        """Remove the bytes of a key."""
        with _told_plainly():
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def free_mb(self) -> int:
        """A bucket has no bound that could be asked for."""
        return UNBOUNDED_MB


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn a store that does not answer, or answers with an error, into one error."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OutOfResourcesError(
            f"expected the object store to answer, found {_what(error)}; "
            "check the endpoint, the bucket and the credentials"
        ) from error


def _what(error: BotoCoreError | ClientError) -> str:
    """The code of an answer, or the kind of the failure; never their words, which quote keys."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "an error"))
    return type(error).__name__
