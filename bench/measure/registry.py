"""The registry's own account of an image: its manifest."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from measure.command import Failed

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True)
class Layer:
    """A layer as it is stored: compressed."""

    digest: str
    size: int
    media_type: str


def layers(port: int, repository: str, reference: str) -> list[Layer]:
    """The image's layers, the base image's first."""
    manifest = _manifest(port, repository, reference)
    if "manifests" in manifest:
        # With an attestation the image is an index: take what runs.
        images = [
            child["digest"]
            for child in manifest["manifests"]
            if child.get("platform", {}).get("os") != "unknown"
        ]
        manifest = _manifest(port, repository, images[0])
    return [
        Layer(layer["digest"], layer["size"], layer["mediaType"]) for layer in manifest["layers"]
    ]


def create_repository(port: int, name: str) -> None:
    """Make a repository, as `aws ecr create-repository` does. It may exist."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/",
        data=json.dumps({"repositoryName": name}).encode(),
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.CreateRepository",
            "Authorization": (
                "AWS4-HMAC-SHA256 Credential=test/20250101/eu-central-1/ecr/aws4_request, "
                "SignedHeaders=host, Signature=0"
            ),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30):
            pass
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        if "RepositoryAlreadyExists" not in text:
            raise Failed(f"the registry made no repository {name}: {text}") from error


def _manifest(port: int, repository: str, reference: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/v2/{repository}/manifests/{reference}"
    headers = {"Accept": MANIFESTS, "Authorization": "Basic QVdTOmJlbmNo"}
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            manifest: dict[str, Any] = json.load(answer)
            return manifest
    except OSError as error:
        raise Failed(f"{url}: {error}") from error
