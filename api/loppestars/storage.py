"""Supabase Storage over HTTP: what this service needs of it.

    POST /storage/v1/object/sign/{bucket}/{path}     {"expiresIn": seconds} -> {"signedURL": …}
    GET  /storage/v1/object/sign/{bucket}/{path}?token=…   -> the object
    POST /storage/v1/object/{bucket}/{path}          x-upsert: true -> {"Id": …, "Key": …}
    GET  /storage/v1/object/public/{bucket}/{path}   -> the object, if the bucket is public

Errors are JSON with a `statusCode` that Storage means, while the status line often says 400.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from loppestars.errors import ApiError
from loppestars.paths import url_path
from loppestars.settings import Settings

#: Long enough to begin one download; it is used at once.
_SIGNED_URL_SECONDS = 60
_SIGNED_PREFIX = "/object/sign/"
#: An error's or a receipt's body; more of it is not read.
_MAX_REPLY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Storage:
    """Access to one project's Storage. Raises ApiError: 404, 413 or 502."""

    settings: Settings
    client: httpx.AsyncClient = field(repr=False)

    async def download(self, path: str) -> bytes:
        """The photo at `path` in the source bucket, through a signed URL."""
        async with self._deadline("downloading the photo"):
            return await self._fetch(await self._sign(path))

    async def upload(self, path: str, jpeg: bytes) -> str:
        """Put a JPEG into the storage bucket, replacing what is there. Returns its public URL."""
        bucket, target = url_path(self.settings.storage_bucket), url_path(path)
        request = self.client.build_request(
            "POST",
            f"{self._base}/object/{bucket}/{target}",
            content=jpeg,
            headers={
                **self._service_headers(),
                "content-type": "image/jpeg",
                "cache-control": "max-age=3600",
                "x-upsert": "true",
            },
        )
        async with self._deadline("uploading the result"):
            response = await self._send(request)
            if response.status_code != httpx.codes.OK:
                raise _refusal(response, f"the bucket {self.settings.storage_bucket}")
        return f"{self._base}/object/public/{bucket}/{target}"

    @property
    def _base(self) -> str:
        return f"{self.settings.supabase_url}/storage/v1"

    def _service_headers(self) -> dict[str, str]:
        key = self.settings.service_role_key
        return {"apikey": key, "authorization": f"Bearer {key}"}

    @asynccontextmanager
    async def _deadline(self, doing: str) -> AsyncIterator[None]:
        """Bound everything inside, and turn what goes wrong on the way into a 502.

        What httpx says of an error may hold the signed URL, so only its kind is passed on.
        """
        limit = self.settings.upstream_total_seconds
        try:
            async with asyncio.timeout(limit):
                yield
        except (TimeoutError, httpx.TimeoutException):
            raise ApiError(502, "storage_timeout", f"Storage took too long while {doing}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiError(
                502, "storage_unreachable", f"{type(error).__name__} while {doing}"
            ) from None

    async def _sign(self, path: str) -> str:
        """A signed URL for an object in the source bucket."""
        bucket, source = url_path(self.settings.source_bucket), url_path(path)
        request = self.client.build_request(
            "POST",
            f"{self._base}{_SIGNED_PREFIX}{bucket}/{source}",
            json={"expiresIn": _SIGNED_URL_SECONDS},
            headers=self._service_headers(),
        )
        response = await self._send(request)
        if response.status_code != httpx.codes.OK:
            raise _refusal(response, f"the bucket {self.settings.source_bucket}")
        signed = _json_object(response).get("signedURL")
        # Only a path below Storage itself is followed: never a host that a reply names.
        if not isinstance(signed, str) or not signed.startswith(_SIGNED_PREFIX):
            raise ApiError(502, "storage_error", "Storage's reply has no signed URL")
        signed_path, _, query = signed.partition("?")
        return f"{self._base}{url_path(signed_path)}?{query}"

    async def _fetch(self, signed_url: str) -> bytes:
        """The object behind a signed URL, read no further than the limit."""
        limit = self.settings.max_photo_bytes
        headers = {"accept-encoding": "identity"}
        if self.settings.anon_key:
            headers["apikey"] = self.settings.anon_key
        request = self.client.build_request("GET", signed_url, headers=headers)
        response = await self.client.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                raise _refusal(await _capped(response), "the photo")
            length = response.headers.get("content-length", "")
            content = bytearray()
            if not (length.isdecimal() and int(length) > limit):
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > limit:
                        break
                else:
                    return bytes(content)
            raise ApiError(
                413, "photo_too_large", f"the photo has more than {limit // 1024 // 1024} MiB"
            )
        finally:
            await response.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose reply is small."""
        response = await self.client.send(request, stream=True)
        try:
            return await _capped(response)
        finally:
            await response.aclose()


def new_client(settings: Settings) -> httpx.AsyncClient:
    """The client for Storage; it takes proxies and CAs from the environment."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(settings.upstream_stall_seconds),
        limits=httpx.Limits(max_connections=2 * settings.max_in_flight),
        follow_redirects=False,
    )


async def _capped(response: httpx.Response) -> httpx.Response:
    """The response with as much of its body as is worth reading."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_REPLY_BYTES:
            break
    return httpx.Response(response.status_code, content=bytes(content[:_MAX_REPLY_BYTES]))


def _json_object(response: httpx.Response) -> dict[str, Any]:
    """The body as a JSON object; an empty one when it is anything else."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(response: httpx.Response, what: str) -> ApiError:
    """What a reply other than 200 means for the caller. Storage's own words stay here."""
    body = _json_object(response)
    meant = str(body.get("statusCode", ""))
    status = int(meant) if meant.isdecimal() else response.status_code
    if status == httpx.codes.NOT_FOUND:
        if body.get("error") == "Bucket not found" or body.get("code") == "NoSuchBucket":
            return ApiError(502, "storage_refused", f"Storage has no such bucket: {what}")
        if body:
            return ApiError(404, "photo_not_found", "there is no photo at imagePath")
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return ApiError(
            502, "storage_refused", f"Storage refused the service's key for {what} ({status})"
        )
    return ApiError(502, "storage_error", f"Storage answered {status} for {what}")
