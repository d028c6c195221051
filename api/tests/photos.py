"""Photos for the tests, made from the one real photo and from arithmetic."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from loppestars.anonymise import Box
from loppestars.image_codec import Image

ASTRONAUT = Path(__file__).parent / "data" / "astronaut.jpg"
#: Where the face is in the astronaut's photo.
FACE = Box(179, 58, 272, 178)

#: What each EXIF orientation asks a viewer to do, undone: how an upright picture is stored.
_STORE: dict[int, Callable[[Image], cv2.typing.MatLike]] = {
    1: lambda upright: upright,
    2: lambda upright: cv2.flip(upright, 1),
    3: lambda upright: cv2.rotate(upright, cv2.ROTATE_180),
    4: lambda upright: cv2.flip(upright, 0),
    5: cv2.transpose,
    6: lambda upright: cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE),
    7: lambda upright: cv2.flip(cv2.transpose(upright), -1),
    8: lambda upright: cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE),
}


def pixels(content: bytes) -> Image:
    """The decoded pixels as they are stored: no orientation is applied."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    assert image is not None
    return np.asarray(image, dtype=np.uint8)


def encoded(image: Image, kind: str = ".jpg", quality: int = 95) -> bytes:
    """The image as a file of that kind."""
    flags = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality]}
    done, content = cv2.imencode(kind, image, flags.get(kind, []))
    assert done
    return content.tobytes()


def astronaut() -> Image:
    """The astronaut's photo, decoded."""
    return pixels(ASTRONAUT.read_bytes())


def stored_with_orientation(upright: Image, orientation: int) -> bytes:
    """A JPEG that a viewer turns upright, with a GPS position in its EXIF data."""
    return with_exif(encoded(np.asarray(_STORE[orientation](upright), np.uint8)), orientation)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with EXIF data: an orientation, and a place in Copenhagen."""
    # Offsets count from the TIFF header: two entries, then the GPS directory, then its values.
    gps_at = 8 + 2 + 2 * 12 + 4
    values_at = gps_at + 2 + 4 * 12 + 4
    latitude = struct.pack("<6I", 55, 1, 40, 1, 34, 1)
    longitude = struct.pack("<6I", 12, 1, 34, 1, 6, 1)
    tiff = b"".join(
        (
            b"II*\0" + struct.pack("<IH", 8, 2),
            struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0),
            struct.pack("<HHII", 0x8825, 4, 1, gps_at),
            struct.pack("<IH", 0, 4),
            struct.pack("<HHI4s", 1, 2, 2, b"N\0"),
            struct.pack("<HHII", 2, 5, 3, values_at),
            struct.pack("<HHI4s", 3, 2, 2, b"E\0"),
            struct.pack("<HHII", 4, 5, 3, values_at + len(latitude)),
            struct.pack("<I", 0) + latitude + longitude,
        )
    )
    payload = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    return jpeg[:2] + segment + jpeg[2:]


def jpeg_segments(content: bytes) -> list[tuple[int, bytes]]:
    """The markers and payloads of a JPEG's segments, up to its first scan."""
    found, position = [], 2
    while content[position + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, position + 2)
        found.append((content[position + 1], content[position + 4 : position + 2 + length]))
        position += 2 + length
    return found


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG, whole in its structure, that claims to be that large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def texture(width: int, height: int) -> Image:
    """A smooth picture without faces."""
    rows = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    columns = np.linspace(0, 255, width, dtype=np.uint8)[None, :]
    channels = (np.broadcast_to(rows, (height, width)), np.broadcast_to(columns, (height, width)))
    return np.dstack((*channels, np.full((height, width), 90, np.uint8)))
