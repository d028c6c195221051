"""The way of one photo, as a pure function of its bytes. Takes CPU time: not for the event loop."""

from __future__ import annotations

from dataclasses import dataclass

from loppestars import image_codec
from loppestars.anonymise import Mode, anonymise, region_of
from loppestars.detector import FaceDetector


@dataclass(frozen=True)
class Options:
    """How a photo is anonymised. `cell` is in pixels of the photo."""

    mode: Mode
    cell: int
    quick: bool


@dataclass(frozen=True)
class Anonymised:
    """The result: a JPEG without metadata, and how many faces were made unrecognisable."""

    jpeg: bytes
    faces: int


def anonymise_photo(content: bytes, detector: FaceDetector, options: Options) -> Anonymised:
    """Find the faces in a photo and make them unrecognisable. ApiError: it is no usable photo."""
    image = image_codec.decode(content)
    height, width = image.shape[:2]
    faces = detector.find(image, options.quick)
    for face in faces:
        anonymise(image, region_of(face, width, height), options.mode, options.cell)
    return Anonymised(image_codec.encode(image), len(faces))
