"""Texts that were damaged on their way: read in the wrong encoding, escaped twice, or half binary."""

import re
from collections.abc import Callable
from typing import NamedTuple

from gistembed.doctor.findings import finding, graded
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
from gistembed.record import Finding

# What the second and third byte of a letter in UTF-8 (0x80 to 0xBF) look like when read as Windows-1252 or
# Latin-1: signs that don't stand behind a letter in any language …
_SIGNS = "\x80-\x9f¢£¤¥¦§¨©ª¬¯°±²³´µ¶¸¹º¼½¾¡¿ƒ„†‡ˆ‰Š‹Œž"
# … and signs that may end a word; they tell something only in the middle of one.
_MARKS = "“”‘’‚–—…•›»«·®™š˜œŸŽ€\xa0\xad"
_ANY = _SIGNS + _MARKS
# Ångström is a unit too, and Ä and Å end words in the north: signs of measures and trade say nothing there.
_AFTER_RING = "\x80-\x9f¢¤¦§¨©ª¬¯´¶¸¹º¼½¾¡¿ƒ„†‡ˆ‰Š‹Œž"

_MOJIBAKE = re.compile(
    "|".join(
        [
            f"Ã[{_SIGNS}]",
            f"Ã[{_MARKS}](?=[a-zßà-ÿ])",
            "Â[£©®°±·»«§¿¡²³´µ¶¼½¾]|Â\xa0",
            "â€|â\x80|â„[¢–]",
            f"[ÄÅ](?:[{_AFTER_RING}]|[‚“”‘’–—…•›»™š˜œŸŽ](?=[a-z]))",
            f"(?:[ÐÑ][{_ANY}]){{2}}|(?:[ØÙÎÏ][{_ANY}]){{3}}",
            f"(?:[ã-é][{_ANY}]{{2}}){{2}}",
            "ï»¿",
        ]
    )
)
# A cheap first look: each of the patterns above begins with one of these.
_MOJIBAKE_START = re.compile("[ÃÂâÄÅÐÑØÙÎÏã-éï]")

_ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|[lr][sd]quo|[mn]dash|hellip|copy|reg|deg|bull|middot|laquo|raquo|euro"
    r"|[aeiouAEIOU](?:acute|grave|circ|uml)|[cC]cedil|[nNaAoO]tilde|szlig|oslash|aring|aelig"
    r"|#[1-9][0-9]{1,5}|#[xX][0-9a-fA-F]{2,6});"
)
_ESCAPE = re.compile(r"(?<!\\)\\u[0-9a-fA-F]{4}(?![0-9a-fA-F])")
# Tab, line feed and carriage return are text; U+0085 is a line end in some.
_CONTROL = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_REPLACEMENT = re.compile("\ufffd")


class _Damage(NamedTuple):
    code: str
    find: Callable[[str], re.Match[str] | None]
    what: str
    advice: str


def _is_suspicious(text: str) -> bool:
    """Whether any kind of damage is possible: most texts of most data sets are out at once."""
    return not text.isascii() or not text.isprintable() or "&" in text or "\\u" in text


def _mojibake(text: str) -> re.Match[str] | None:
    return None if text.isascii() or not _MOJIBAKE_START.search(text) else _MOJIBAKE.search(text)


def _replacement(text: str) -> re.Match[str] | None:
    return None if text.isascii() else _REPLACEMENT.search(text)


def _entity(text: str) -> re.Match[str] | None:
    return _ENTITY.search(text) if "&" in text else None


def _escape(text: str) -> re.Match[str] | None:
    return _ESCAPE.search(text) if "\\u" in text else None


def _control(text: str) -> re.Match[str] | None:
    return None if text.isprintable() else _CONTROL.search(text)


_KINDS = (
    _Damage(
        "mojibake",
        _mojibake,
        "texts were written as UTF-8 and read as something else ('Ã©' for 'é')",
        "Read the original again as UTF-8, or mend the texts with a tool such as ftfy.",
    ),
    _Damage(
        "replacement-character",
        _replacement,
        "texts hold U+FFFD, the mark of a character that was lost",
        "Read the original again in the encoding that it was written in; what was lost isn't in this file.",
    ),
    _Damage(
        "html-entity",
        _entity,
        "texts hold HTML entities ('&amp;' for '&')",
        "Unescape them (`html.unescape`), unless the texts are about HTML.",
    ),
    _Damage(
        "escaped-character",
        _escape,
        "texts hold escapes in place of characters ('\\u00e9' for 'é')",
        "Decode them once more, unless the texts are code.",
    ),
    _Damage(
        "control-character",
        _control,
        "texts hold control characters or a byte order mark",
        "Take them out, and look at what wrote them.",
    ),
)


def damaged_texts(rows: NumberedRows) -> list[Finding]:
    """Texts with signs of damage, by kind."""
    strings = rows.book.strings
    ids = rows.text_ids
    suspicious = [text_id for text_id in ids.tolist() if _is_suspicious(strings[text_id])]
    first_rows = rows.first_rows()
    findings = []
    for code, find, what, advice in _KINDS:
        found = [(text_id, match) for text_id in suspicious if (match := find(strings[text_id]))]
        if not found:
            continue
        findings.append(
            finding(
                code,
                graded(len(found) / len(ids), warning=0.001, error=0.1),
                len(found),
                len(ids),
                what,
                advice,
                rows.examples(
                    (int(first_rows[text_id]), _around(match)) for text_id, match in found[:EXAMPLES]
                ),
            )
        )
    return findings


def _around(match: re.Match[str]) -> str:
    """The damaged place with some text on both sides."""
    start = max(match.start() - 20, 0)
    return ("…" if start else "") + shown(match.string[start:], 50)
