"""What the service is told by its environment, and the limits it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from loppestars import paths


@dataclass(frozen=True)
class Settings:
    """The service's configuration. Nothing here is checked on construction: see `problems`.

    Sizes are in bytes, times in seconds.
    """

    supabase_url: str = ""
    #: Full access to the project. Never logged, and kept out of `repr`.
    service_role_key: str = field(default="", repr=False)
    #: Optional: what the gateway is shown where the service role is not needed.
    anon_key: str = field(default="", repr=False)
    source_bucket: str = "stall-photos"
    storage_bucket: str = "stall-photos-processed"
    version: str = "unknown"
    model_dir: Path = Path("/opt/models")

    max_photo_bytes: int = 25 * 1024 * 1024
    #: Photos decoded and searched for faces at the same time.
    workers: int = 2
    #: Photos anywhere between request and response; beyond that callers are asked to come back.
    max_in_flight: int = 8
    #: For one read, write or connect to Storage.
    upstream_stall_seconds: float = 10.0
    #: For one whole download or upload.
    upstream_total_seconds: float = 30.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the variables that the container is given; an empty one counts as not set."""

        def variable(name: str, default: str) -> str:
            return environ.get(name, "").strip() or default

        return cls(
            supabase_url=variable("SUPABASE_URL", "").rstrip("/"),
            service_role_key=variable("SUPABASE_SERVICE_ROLE_KEY", ""),
            anon_key=variable("SUPABASE_ANON_KEY", ""),
            source_bucket=variable("SOURCE_BUCKET", cls.source_bucket),
            storage_bucket=variable("STORAGE_BUCKET", cls.storage_bucket),
            version=variable("GIT_COMMIT", cls.version),
            model_dir=Path(variable("MODEL_DIR", str(cls.model_dir))),
        )

    def problems(self) -> list[str]:
        """Everything that keeps the service from working, as sentences without any value."""
        found = []
        if not self.supabase_url:
            found.append("SUPABASE_URL is not set")
        elif not _is_http_url(self.supabase_url):
            found.append("SUPABASE_URL is not an http(s) URL like https://PROJECT.supabase.co")
        for name, key in (
            ("SUPABASE_SERVICE_ROLE_KEY", self.service_role_key),
            ("SUPABASE_ANON_KEY", self.anon_key),
        ):
            if key and not _is_header_value(key):
                found.append(f"{name} has characters that no key has")
        if not self.service_role_key:
            found.append("SUPABASE_SERVICE_ROLE_KEY is not set")
        for name, bucket in (
            ("SOURCE_BUCKET", self.source_bucket),
            ("STORAGE_BUCKET", self.storage_bucket),
        ):
            if not paths.is_bucket_name(bucket):
                found.append(f"{name} is not a bucket name")
        return found

    def secrets(self) -> tuple[str, ...]:
        """The values that must never be seen in a log."""
        return tuple(key for key in (self.service_role_key, self.anon_key) if key)


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query


def _is_header_value(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key
