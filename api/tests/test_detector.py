"""Finding faces: of all sizes, in photos of all shapes, each once."""

from __future__ import annotations

import cv2
import numpy as np
import photos
import pytest
from photos import FACE

from loppestars.anonymise import MAX_CELLS, Box, Mode, anonymise, region_of
from loppestars.detector import FaceDetector
from loppestars.image_codec import Image


def scene(width: int, height: int, *places: tuple[int, int, int]) -> Image:
    """A picture with the astronaut put in: left, top and side of each copy in pixels."""
    picture = photos.texture(width, height)
    for left, top, side in places:
        scaled = cv2.resize(photos.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
        shown = scaled[: height - top, : width - left]
        picture[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return picture


def face_in(left: int, top: int, side: int) -> Box:
    """Where the face is in one copy of the astronaut."""
    scaled = [round(edge * side / 512) for edge in (FACE.left, FACE.top, FACE.right, FACE.bottom)]
    return Box(left + scaled[0], top + scaled[1], left + scaled[2], top + scaled[3])


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = max(0, min(one.right, other.right) - max(one.left, other.left))
    height = max(0, min(one.bottom, other.bottom) - max(one.top, other.top))
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


@pytest.mark.parametrize("side", [2800, 1500, 900, 600, 400])
def test_faces_of_all_sizes_in_a_phone_photo(detector: FaceDetector, side: int) -> None:
    """From a fifth of the photo's height down to a thirtieth."""
    place = (500, 150, side)
    found = detector.find(scene(4000, 3000, place))
    assert len(found) == 1
    assert overlap(found[0], face_in(*place)) > 0.6


def test_quick_misses_only_small_faces(detector: FaceDetector) -> None:
    assert len(detector.find(scene(4000, 3000, (500, 150, 1500)), quick=True)) == 1
    assert detector.find(scene(4000, 3000, (500, 150, 400)), quick=True) == []


def test_several_faces_each_once(detector: FaceDetector) -> None:
    places = [(0, 0, 900), (1000, 100, 500), (1600, 900, 380), (300, 950, 512)]
    found = detector.find(scene(2000, 1500, *places))
    assert len(found) == len(places)
    for place in places:
        assert max(overlap(face, face_in(*place)) for face in found) > 0.6


@pytest.mark.parametrize(("width", "height"), [(3200, 400), (400, 3200), (1600, 900), (900, 1600)])
@pytest.mark.parametrize("position", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_panoramas(detector: FaceDetector, width: int, height: int, position: float) -> None:
    side = min(width, height)
    left, top = round((width - side) * position), round((height - side) * position)
    found = detector.find(scene(width, height, (left, top, side)))
    overlaps = [overlap(face, face_in(left, top, side)) for face in found]
    # The hair above a face may pass for one of its own, but nothing elsewhere does.
    assert sum(part > 0.6 for part in overlaps) == 1
    assert min(overlaps) > 0


def test_no_faces_where_there_are_none(detector: FaceDetector) -> None:
    assert detector.find(photos.texture(1200, 900)) == []
    assert detector.find(np.zeros((600, 800, 3), np.uint8)) == []


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("crop", [(0, 0, 512, 512), (100, 0, 350, 250), (150, 20, 310, 220)])
def test_gone_at_every_size(
    detector: FaceDetector, mode: Mode, scale: float, crop: tuple[int, int, int, int]
) -> None:
    left, top, right, bottom = crop
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    view = photos.astronaut()[top:bottom, left:right]
    image = np.asarray(cv2.resize(view, None, fx=scale, fy=scale, interpolation=shrink), np.uint8)
    faces = detector.find(image)
    assert faces
    for face in faces:
        anonymise(image, region_of(face, image.shape[1], image.shape[0]), mode, cell=1)
    assert detector.find(image) == []


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("cell", [1, 7, 40, 10_000])
@pytest.mark.parametrize(
    "region", [Box(10, 20, 310, 420), Box(0, 0, 500, 37), Box(499, 499, 500, 500)]
)
def test_little_is_left_of_a_region(mode: Mode, cell: int, region: Box) -> None:
    """Whatever the parameters, different pictures of the same few averages end up the same."""
    random = np.random.default_rng(7)
    image = random.integers(0, 256, (500, 500, 3), dtype=np.uint8)
    original = image.copy()
    anonymise(image, region, mode, cell)
    inside = image[region.top : region.bottom, region.left : region.right]
    if mode is Mode.PIXELATE:
        colours = np.unique(inside.reshape(-1, 3), axis=0)
        assert len(colours) <= MAX_CELLS**2
    if min(region.width, region.height) > 100:
        # Noise averaged over large cells is grey.
        assert np.std(inside.astype(float)) < 20
    untouched = np.ones((500, 500), dtype=bool)
    untouched[region.top : region.bottom, region.left : region.right] = False
    assert np.array_equal(image[untouched], original[untouched])


def test_region_has_a_margin_and_stays_inside() -> None:
    assert region_of(Box(100, 100, 200, 300), 1000, 1000) == Box(70, 40, 230, 360)
    assert region_of(Box(0, 10, 100, 100), 110, 100) == Box(0, 0, 110, 100)
