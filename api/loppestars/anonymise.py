"""Makes a face unrecognisable, in place.

Both modes first average the region into a few large cells and throw the rest away, so neither
can be undone: what distinguishes one face from another is not in the result any more. They
differ in how the cells are drawn, as squares or flowing into each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from loppestars.image_codec import Image

#: At most so many cells along the longer side of a region, whatever the caller asks for; with
#: the margin around a face that leaves about three across the face itself.
MAX_CELLS = 5
#: How much is added on each side of a detected face, as a part of its width or height.
MARGIN = 0.3


class Mode(StrEnum):
    """How an anonymised face looks."""

    PIXELATE = "pixelate"
    BLUR = "blur"


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top


def region_of(face: Box, width: int, height: int) -> Box:
    """What is made unrecognisable for a face: it and a margin, within an image of that size."""
    horizontal, vertical = round(face.width * MARGIN), round(face.height * MARGIN)
    return Box(
        max(0, face.left - horizontal),
        max(0, face.top - vertical),
        min(width, face.right + horizontal),
        min(height, face.bottom + vertical),
    )


def anonymise(image: Image, region: Box, mode: Mode, cell: int) -> None:
    """Average the region into cells of at least `cell` pixels and draw those instead."""
    if region.width < 1 or region.height < 1:
        return
    longer = max(region.width, region.height)
    cell = max(cell, -(-longer // MAX_CELLS))
    grid = (-(-region.width // cell), -(-region.height // cell))
    view = image[region.top : region.bottom, region.left : region.right]
    cells = cv2.resize(view, grid, interpolation=cv2.INTER_AREA)
    drawing = cv2.INTER_NEAREST if mode is Mode.PIXELATE else cv2.INTER_CUBIC
    view[:] = np.asarray(
        cv2.resize(cells, (region.width, region.height), interpolation=drawing), dtype=np.uint8
    )
