"""Whether a file is a Z-machine's story of version 8, whole: Jericho's machine ends its process where it is not.

By the header (The Z-Machine Standards Document, section 11, https://inform-fiction.org/zmachine/standards/z1point1/sect11.html).
"""

from __future__ import annotations

_HEADER, _VERSION = 64, 8
_LENGTH, _CHECKSUM = 0x1A, 0x1C
_STATIC, _HIGH = 0x0E, 0x04
_BEFORE_STATIC = (0x0A, 0x0C)  # objects and globals, which change
_ADDRESSES = (0x06, 0x08, *_BEFORE_STATIC, _STATIC, 0x18)  # and: the first instruction, dictionary, abbreviations


def check_story(content: bytes) -> None:
    """Raises ValueError: what is wrong with it."""
    if len(content) < _HEADER or content[0] != _VERSION:
        raise ValueError(f"it is no story file of version {_VERSION}")
    length = 8 * _word(content, _LENGTH)
    if not _HEADER < length <= len(content):
        raise ValueError(f"it has {len(content)} bytes, and {length} by its header")
    if (found := sum(content[_HEADER:length]) % 2**16) != (expected := _word(content, _CHECKSUM)):
        raise ValueError(f"its checksum is {found:04x}, and {expected:04x} by its header")
    static = _word(content, _STATIC)
    if any(not _HEADER <= _word(content, at) < min(length, 2**16) for at in _ADDRESSES):
        raise ValueError("an address in its header lies outside of it")
    if static > _word(content, _HIGH) or any(_word(content, at) >= static for at in _BEFORE_STATIC):
        raise ValueError("its header has its memory in another order")


def _word(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 2])
