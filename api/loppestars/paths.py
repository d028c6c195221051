"""Names of objects in Storage: which are allowed, how they stand in a URL, where results go."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

#: What Storage allows in a key, less `?`: it can store such an object, but not sign a URL for it.
_OBJECT_PATH = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,-]+")
_BUCKET_NAME = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,-]{1,100}")
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: Storage signs `decodeURI` of the path it was sent, and that leaves reserved characters encoded:
#: they have to be sent as they are, or the signature is for another object.
_UNESCAPED = "/!*'()&$=@;:+,"

MAX_PATH_LENGTH = 512


def checked_image_path(path: str) -> str:
    """The path itself if it names an object inside the bucket; ValueError says why not."""
    if not path or len(path) > MAX_PATH_LENGTH:
        raise ValueError(f"must have 1 to {MAX_PATH_LENGTH} characters")
    if path.startswith("/"):
        raise ValueError("must be relative to the bucket, without a leading slash")
    if not _OBJECT_PATH.fullmatch(path):
        raise ValueError("has characters that no object's path has")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise ValueError("must not have empty, '.' or '..' segments")
    return path


def checked_user_id(user_id: str) -> str:
    """The id itself if it is safe as a folder's name; ValueError says why not."""
    if not _USER_ID.fullmatch(user_id):
        raise ValueError("must be 1 to 128 letters, digits, '-' or '_'")
    return user_id


def is_bucket_name(name: str) -> bool:
    """Whether Storage would accept it as a bucket's name, and it stays one segment of a URL."""
    return bool(_BUCKET_NAME.fullmatch(name)) and name not in (".", "..")


def url_path(path: str) -> str:
    """The path as it stands in a URL."""
    return quote(path, safe=_UNESCAPED)


def processed_path(user_id: str, image_path: str, jpeg: bytes) -> str:
    """Where an anonymised photo goes: the user's folder, the photo's name and its content's hash.

    The hash makes a retry write the same object, two photos of one name two objects, and a cache
    in front of the bucket never serve an older result.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", image_path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    digest = hashlib.sha256(jpeg).hexdigest()[:16]
    return f"{user_id}/{stem.strip('-')[:64] or 'photo'}-{digest}.jpg"
