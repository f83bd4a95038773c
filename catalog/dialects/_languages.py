"""Languages as strangers write them (`vie`, `VI`, `en_US`, `English`), brought to the codes of a `Text`."""

import re
from collections.abc import Mapping
from typing import Any

from catalog.dialects import _words as clean

UNKNOWN = "und"
_LONG = 3
_CODE = re.compile(r"([a-z]{2,3})(-[A-Za-z0-9]{1,8})*")
_SHORT: Mapping[str, str] = {
    "vie": "vi", "eng": "en", "fra": "fr", "fre": "fr", "deu": "de", "ger": "de", "spa": "es", "por": "pt",
    "ita": "it", "nld": "nl", "dut": "nl", "jpn": "ja", "kor": "ko", "zho": "zh", "chi": "zh", "rus": "ru",
    "ind": "id", "msa": "ms", "may": "ms", "tha": "th", "khm": "km", "fil": "fil", "pol": "pl", "swe": "sv",
    "nor": "no", "dan": "da", "fin": "fi", "ell": "el", "gre": "el", "tur": "tr", "ara": "ar",
    "bul": "bg", "cat": "ca", "ces": "cs", "cze": "cs", "est": "et", "eus": "eu", "fas": "fa", "gle": "ga", "hrv": "hr",
    "hun": "hu", "isl": "is", "ice": "is", "lao": "lo", "lav": "lv", "lit": "lt", "mlt": "mt", "mya": "my", "ron": "ro",
    "rum": "ro", "slk": "sk", "slo": "sk", "slv": "sl", "srp": "sr", "swa": "sw", "ukr": "uk",
    "vietnamese": "vi", "english": "en", "french": "fr", "german": "de", "spanish": "es",
}  # fmt: skip
"""ISO 639-2 codes, both kinds, and English names, as the ISO 639-1 codes that pages ask for."""


def language(value: Any) -> str:
    """Return a language code (BCP 47, the shortest form of the language), or `und` for what is none."""
    said = (clean.name(value) or "").replace("_", "-")
    first, hyphen, rest = said.partition("-")
    code = _SHORT.get(first.lower(), first.lower()) + hyphen + rest
    return code if _CODE.fullmatch(code) and first.lower() not in {"mul", "zxx", "mis"} else UNKNOWN


def three_letters(code: str) -> str:
    """Return the code of ISO 639-2/T of a language by its code of ISO 639-1; other codes as they are."""
    return next((long for long, short in _SHORT.items() if short == code and len(long) == _LONG), code)
