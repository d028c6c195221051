"""Reads an image's kind and dimensions from its structure, before anything is decoded.

Decoders allocate what a header claims and make up what a truncated file lacks. So the dimensions
are known here first, and a file that stops early is told from a whole one.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

#: A progressive JPEG has about ten scans; each one costs a pass over the whole picture.
_MAX_SCANS = 100

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Inside entropy-coded data 0xFF is followed by a stuffed zero, a restart marker or a fill byte.
_NEXT_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class ImageHeader:
    """An image's kind (`JPEG`, `PNG`, `WebP`) and its dimensions in pixels, before rotation."""

    kind: str
    width: int
    height: int


class NotAnImageError(Exception):
    """The bytes are of no kind that is read here, or their structure is broken."""


class TruncatedImageError(Exception):
    """The file ends before the picture does."""


def read_header(content: bytes) -> ImageHeader:
    """Walk the file's structure from its first byte to the end of the picture.

    Raises NotAnImageError or TruncatedImageError.
    """
    try:
        if content.startswith(b"\xff\xd8\xff"):
            header = _read_jpeg(content)
        elif content.startswith(_PNG_SIGNATURE):
            header = _read_png(content)
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            header = _read_webp(content)
        else:
            raise NotAnImageError("neither JPEG, PNG nor WebP")
    except (struct.error, IndexError):
        raise TruncatedImageError from None
    if header.width < 1 or header.height < 1:
        raise NotAnImageError(f"a {header.kind} without dimensions")
    return header


def _read_jpeg(content: bytes) -> ImageHeader:
    header: ImageHeader | None = None
    position, scans = 2, 0
    while True:
        if content[position] != 0xFF:
            raise NotAnImageError("a JPEG with broken segments")
        while content[position] == 0xFF:
            position += 1
        marker = content[position]
        position += 1
        if marker == _END_OF_IMAGE:
            break
        if marker in _STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", content, position)
        if length < 2:
            raise NotAnImageError("a JPEG with broken segments")
        if marker in _START_OF_FRAME:
            if header is not None:
                raise NotAnImageError("a JPEG with two frames")
            height, width = struct.unpack_from(">HH", content, position + 3)
            header = ImageHeader("JPEG", width, height)
        position += length
        if marker == _START_OF_SCAN:
            scans += 1
            if scans > _MAX_SCANS:
                raise NotAnImageError("a JPEG with too many scans")
            position = _end_of_scan(content, position)
    if header is None or scans == 0:
        raise NotAnImageError("a JPEG without a picture")
    return header


def _end_of_scan(content: bytes, position: int) -> int:
    """The position of the marker that ends the entropy-coded data starting at `position`."""
    while (found := _NEXT_MARKER.search(content, position)) is not None:
        if 0xD0 <= found[1][0] <= 0xD7:
            position = found.end()
            continue
        return found.start()
    raise TruncatedImageError


def _read_png(content: bytes) -> ImageHeader:
    width, height = struct.unpack_from(">II", content, 16)
    if content[12:16] != b"IHDR":
        raise NotAnImageError("a PNG without a header")
    position = len(_PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", content, position)
        position += 12 + length
        if position > len(content):
            raise TruncatedImageError
        if kind == b"IEND":
            return ImageHeader("PNG", width, height)


def _read_webp(content: bytes) -> ImageHeader:
    (size,) = struct.unpack_from("<I", content, 4)
    if size + 8 > len(content):
        raise TruncatedImageError
    kind = content[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(content[24:27], "little")
        height = 1 + int.from_bytes(content[27:30], "little")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    else:
        raise NotAnImageError("a WebP of unknown kind")
    return ImageHeader("WebP", width, height)
