"""From a photo's bytes to upright pixels, and back to a JPEG that holds nothing but pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from loppestars.errors import ApiError
from loppestars.image_header import NotAnImageError, TruncatedImageError, read_header

#: An image as OpenCV has it: rows, columns, then blue, green, red.
Image = npt.NDArray[np.uint8]

#: Sixty-four megapixels take 192 MB when decoded.
MAX_PIXELS = 64_000_000
#: The longer side over the shorter one; faces are searched for piece by piece along the longer.
MAX_ASPECT_RATIO = 8
_JPEG_QUALITY = 90


def decode(content: bytes) -> Image:
    """Decode a photo and turn it upright as its EXIF orientation says. ApiError says why not."""
    try:
        header = read_header(content)
    except NotAnImageError as error:
        raise ApiError(422, "not_an_image", f"the photo can not be read: it is {error}") from None
    except TruncatedImageError:
        raise ApiError(
            422, "truncated_image", "the photo ends early: it was not uploaded whole"
        ) from None
    size = f"{header.width} x {header.height}"
    if header.width * header.height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 1_000_000} megapixels"
        raise ApiError(413, "too_many_pixels", f"the photo has {size} pixels; {limit} is the limit")
    if max(header.width, header.height) > MAX_ASPECT_RATIO * min(header.width, header.height):
        raise ApiError(
            422,
            "unsupported_dimensions",
            f"the photo has {size} pixels; "
            f"one side can be at most {MAX_ASPECT_RATIO} times the other",
        )
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise ApiError(422, "corrupt_image", f"the photo is a {header.kind} with broken content")
    return np.asarray(image, dtype=np.uint8)


def encode(image: Image) -> bytes:
    """Encode as JPEG. No metadata is carried over: there is none beside the pixels to carry."""
    encoded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not encoded:
        raise RuntimeError("OpenCV could not encode the result as JPEG")
    return jpeg.tobytes()
