"""Reading kinds and dimensions, and telling whole files from parts."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import photos
import pytest

from loppestars.image_header import (
    ImageHeader,
    NotAnImageError,
    TruncatedImageError,
    read_header,
)

FLAGS = {
    "baseline": (".jpg", []),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "restarts": (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]),
    "png": (".png", []),
    "lossy webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
    "lossless webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
}


def picture(name: str, width: int = 37, height: int = 23) -> bytes:
    suffix, flags = FLAGS[name]
    done, content = cv2.imencode(suffix, photos.texture(width, height), flags)
    assert done
    return content.tobytes()


@pytest.mark.parametrize("name", FLAGS)
def test_dimensions(name: str) -> None:
    header = read_header(picture(name))
    assert (header.width, header.height) == (37, 23)
    assert header.kind.lower() in FLAGS[name][0] + " jpeg"


@pytest.mark.parametrize("name", FLAGS)
def test_every_part_of_a_file_is_told_from_the_whole(name: str) -> None:
    content = picture(name)
    # A PNG's or JPEG's last bytes are its end marker: nothing shorter is whole.
    for length in range(16, len(content) - 1):
        with pytest.raises((TruncatedImageError, NotAnImageError)):
            read_header(content[:length])
    for length in range(len(content) // 2, len(content) - 1):
        with pytest.raises(TruncatedImageError):
            read_header(content[:length])


def test_bytes_after_the_picture_are_ignored() -> None:
    assert read_header(picture("baseline") + b"\0more").width == 37


def test_an_end_inside_metadata_is_not_the_end() -> None:
    """EXIF data holds a thumbnail: a whole JPEG with an end marker of its own."""
    content = picture("baseline", 640, 480)
    thumbnail = picture("progressive", 16, 12)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    combined = content[:2] + segment + content[2:]
    assert read_header(combined) == ImageHeader("JPEG", 640, 480)
    with pytest.raises(TruncatedImageError):
        read_header(combined[: len(combined) - 100])


def test_a_scan_bomb_is_refused() -> None:
    content = picture("progressive")
    scan = content[content.index(b"\xff\xda") : -2]
    with pytest.raises(NotAnImageError, match="too many scans"):
        read_header(content[:-2] + scan * 60 + content[-2:])


def test_no_bytes_at_all_make_it_fail_otherwise() -> None:
    random = np.random.default_rng(3)
    for name in FLAGS:
        content = picture(name)
        for _ in range(300):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 5):
                damaged[place] = random.integers(0, 256)
            try:
                read_header(bytes(damaged))
            except (NotAnImageError, TruncatedImageError):
                continue
