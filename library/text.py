"""Text from files that anybody may have written, made safe to store, compare and sort."""

from __future__ import annotations

import re
import unicodedata

_DIGITS = re.compile(r"\d+")
_MAX_NUMBER = 20


def storable(text: str) -> str:
    """The text with every half of a surrogate pair replaced by U+FFFD and NUL dropped, so that UTF-8 can hold it."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def fold(text: str) -> str:
    """Unicode composed (NFC) and without letter case: what two spellings of one name have in common."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def natural(text: str) -> str:
    """A sort key in which `v2` comes before `v10`."""
    return _DIGITS.sub(lambda m: m.group().lstrip("0").rjust(_MAX_NUMBER, "0"), fold(text))
