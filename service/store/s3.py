"""The bytes of the objects in an S3-compatible store."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from service.errors import OutOfResourcesError
from service.store.objects import new_key, unknown

UNBOUNDED_MB = 1 << 40


class S3Objects:
    """Objects in an S3-compatible store, address `s3://bucket/prefix`.

    Credentials come from the environment in the usual way of S3 clients.
    """

    def __init__(self, url: str, endpoint: str = "") -> None:
        address = urlsplit(url)
        self._bucket = address.netloc
        self._prefix = address.path.strip("/")
        self._client: Any = boto3.client("s3", endpoint_url=endpoint or None)

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def put(self, data: bytes | memoryview, suffix: str = "") -> str:
        """Upload under a new key."""
        key = new_key(suffix)
        self.keep(key, data)
        return key

    def keep(self, key: str, data: bytes | memoryview) -> None:
        """Upload in one request; the store answers only when the bytes are durable."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=bytes(data))
        except (BotoCoreError, ClientError) as error:
            raise OutOfResourcesError(
                f"expected the object store to keep {len(data)} bytes, found "
                f"{type(error).__name__}; check the endpoint, the bucket and the credentials"
            ) from error

    def get(self, key: str) -> bytes:
        """Download the bytes of a key."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            return bytes(answer["Body"].read())
        except self._client.exceptions.NoSuchKey as error:
            raise unknown(key) from error
        except (BotoCoreError, ClientError) as error:
            raise OutOfResourcesError(
                f"expected the object store to answer, found {type(error).__name__}; "
                "check the endpoint, the bucket and the credentials"
            ) from error

    def path(self, key: str) -> Path | None:
        """No local file: always None."""
        return None

    def delete(self, key: str) -> None:
        """Remove the bytes of a key."""
        self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def free_mb(self) -> int:
        """A bucket has no bound that could be asked for."""
        return UNBOUNDED_MB
