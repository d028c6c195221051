"""Finds faces with OpenCV's SSD, at several scales.

The network was trained on whole pictures squeezed to 300 x 300, where it sees faces from about a
tenth of the picture's side. It is fully convolutional, so a larger input finds smaller faces. But
its two coarsest layers place their boxes for 300 x 300 only: at other sizes what they report is
misplaced, and only boxes too small to be theirs are taken.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from loppestars.anonymise import Box
from loppestars.image_codec import Image

#: The model's files and their SHA-256, as `api/models/fetch.py` provides them.
MODEL_FILES = {
    "deploy.prototxt": "34d850436faf158ca4e690533ba27c1decf29653559299d80db9274146332ca7",
    "res10_300x300_ssd_iter_140000.caffemodel": (
        "2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d"
    ),
}

#: How sure the network must be, from 0 to 1. A finer scale looks at many more places, and sees
#: something in a few of them by chance.
MIN_CONFIDENCE = 0.5
_MIN_FINE_CONFIDENCE = 0.6
_TRAINED_SIDE = 300
_MEAN_BGR = (104.0, 177.0, 123.0)
#: The shorter side of the picture at the finer scales, in pixels.
_FINER_SCALES = (600, 960)
_QUICK_SCALES = (600,)
#: The longest box taken from a finer scale; larger faces are found at the scale before.
_MAX_FINE_FACE = 120
#: Enlarging a picture further shows nothing new.
_MAX_ENLARGEMENT = 1.5
#: Pictures longer than this are searched in overlapping pieces.
_MAX_PIECE_RATIO = 1.8
#: Two boxes are one face when so much of the smaller lies within the larger.
_SAME_FACE = 0.5


class ModelError(Exception):
    """The model can not be used; the message says why."""


@dataclass(frozen=True)
class _Candidate:
    confidence: float
    box: Box


class FaceDetector:
    """A loaded model. Safe to use from several threads: they take turns at the network."""

    def __init__(self, prototxt: bytes, weights: bytes) -> None:
        try:
            self._net = cv2.dnn.readNetFromCaffe(
                np.frombuffer(prototxt, np.uint8), np.frombuffer(weights, np.uint8)
            )
        except cv2.error as error:
            raise ModelError(f"OpenCV can not read the model: {error.err}") from error
        self._turn = threading.Lock()

    @classmethod
    def load(cls, directory: Path) -> FaceDetector:
        """Load the model's files, but only the very files that are expected."""
        contents = []
        for name, expected in MODEL_FILES.items():
            try:
                content = (directory / name).read_bytes()
            except OSError as error:
                raise ModelError(f"{directory / name}: {error.strerror}") from error
            if hashlib.sha256(content).hexdigest() != expected:
                raise ModelError(f"{directory / name} is not the expected file: SHA-256 differs")
            contents.append(content)
        return cls(*contents)

    def find(self, image: Image, quick: bool = False) -> list[Box]:
        """The faces in an upright image, each once. `quick` skips the finest scale."""
        scales = _QUICK_SCALES if quick else _FINER_SCALES
        candidates = [
            candidate
            for piece in _pieces(image.shape[1], image.shape[0])
            for candidate in self._search(image, piece, scales)
        ]
        return _merge(candidates)

    def _search(self, image: Image, piece: Box, scales: tuple[int, ...]) -> Iterator[_Candidate]:
        view = image[piece.top : piece.bottom, piece.left : piece.right]
        yield from self._run(view, piece, (_TRAINED_SIDE, _TRAINED_SIDE), None)
        shorter = min(piece.width, piece.height)
        for scale in scales:
            factor = scale / shorter
            if factor > _MAX_ENLARGEMENT:
                break
            size = (round(piece.width * factor), round(piece.height * factor))
            yield from self._run(view, piece, size, _MAX_FINE_FACE / factor)

    def _run(
        self, view: Image, piece: Box, size: tuple[int, int], longest: float | None
    ) -> Iterator[_Candidate]:
        """One pass of the network over a view, with boxes in the coordinates of the image."""
        shrinking = size[0] * size[1] < piece.width * piece.height
        scaled = cv2.resize(
            view, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )
        blob = cv2.dnn.blobFromImage(scaled, 1.0, size, _MEAN_BGR)
        with self._turn:
            self._net.setInput(blob)
            rows = np.array(self._net.forward()[0, 0], dtype=np.float64)
        least = MIN_CONFIDENCE if longest is None else _MIN_FINE_CONFIDENCE
        for row in rows[rows[:, 2] >= least]:
            left, right = row[3] * piece.width, row[5] * piece.width
            top, bottom = row[4] * piece.height, row[6] * piece.height
            if longest is not None and max(right - left, bottom - top) > longest:
                continue
            box = Box(
                piece.left + max(0, int(left)),
                piece.top + max(0, int(top)),
                piece.left + min(piece.width, int(np.ceil(right))),
                piece.top + min(piece.height, int(np.ceil(bottom))),
            )
            if box.width > 0 and box.height > 0:
                yield _Candidate(float(row[2]), box)


def _pieces(width: int, height: int) -> list[Box]:
    """The image itself, or overlapping pieces of it along its longer side."""
    longer, shorter = max(width, height), min(width, height)
    length = round(shorter * _MAX_PIECE_RATIO)
    if longer <= length:
        return [Box(0, 0, width, height)]
    # Half a shorter side of overlap: a face up to that size is whole in one piece.
    count = 1 + -(-(longer - length) // max(1, length - shorter // 2))
    starts = [round(index * (longer - length) / (count - 1)) for index in range(count)]
    if width >= height:
        return [Box(start, 0, start + length, height) for start in starts]
    return [Box(0, start, width, start + length) for start in starts]


def _merge(candidates: list[_Candidate]) -> list[Box]:
    """Each face once: boxes of the same face are joined into one that holds them all."""
    faces: list[Box] = []
    for candidate in sorted(candidates, key=lambda found: -found.confidence):
        box = candidate.box
        for index, face in enumerate(faces):
            if _shared(face, box) >= _SAME_FACE:
                faces[index] = Box(
                    min(face.left, box.left),
                    min(face.top, box.top),
                    max(face.right, box.right),
                    max(face.bottom, box.bottom),
                )
                break
        else:
            faces.append(box)
    return faces


def _shared(one: Box, other: Box) -> float:
    """How much of the smaller box lies within the larger, from 0 to 1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(one.width * one.height, other.width * other.height)
