"""The bodies of requests and responses."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from loppestars.anonymise import Mode
from loppestars.paths import checked_image_path, checked_user_id


class _Message(BaseModel):
    """JSON names are in camel case; fields that are not known are an error."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True
    )


class ProcessRequest(_Message):
    """A photo to anonymise, and how."""

    image_path: Annotated[str, AfterValidator(checked_image_path)] = Field(
        description="The photo's path in the source bucket."
    )
    user_id: Annotated[str, AfterValidator(checked_user_id)] = Field(
        description="Whose photo it is: the result's folder in the storage bucket."
    )
    mode: Mode = Mode.PIXELATE
    pixelate_size: int = Field(
        default=16,
        ge=2,
        le=512,
        strict=True,
        description="A mosaic square's side in pixels; enlarged until a face is unrecognisable.",
    )
    blur_strength: int = Field(
        default=48,
        ge=2,
        le=512,
        strict=True,
        description="The blur's width in pixels; enlarged until a face is unrecognisable.",
    )
    downscale_for_detection: bool = Field(
        default=False,
        strict=True,
        description="Look for faces in a smaller copy only: faster, but small faces are missed.",
    )


class ProcessResponse(_Message):
    """An anonymised photo."""

    success: bool
    processed_image_url: str
    faces_detected: int
    mode: Mode


class HealthResponse(_Message):
    """Whether the service can work, and if not, why: `reasons` is then not empty."""

    status: str
    version: str
    model_loaded: bool
    reasons: list[str] = []


class ErrorDetail(_Message):
    """A code for programs and a sentence for people."""

    code: str
    message: str


class ErrorResponse(_Message):
    """Every response that is not a success."""

    error: ErrorDetail
