"""The encodings in which rosters may be."""

from __future__ import annotations

import codecs

#: By their names in Python, which knows other names of each (latin1). No others: some decode no text (base64),
#: some are quadratic (punycode), some write a comma as several letters (utf-7, hz).
# fmt: off
ENCODINGS = frozenset({
    "ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "iso8859-1",
    "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9",
    "iso8859-10", "iso8859-11", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16", "mac-roman",
    "mac-latin2", "mac-cyrillic", "mac-greek", "mac-turkish", "mac-iceland", "cp437", "cp737", "cp775", "cp850",
    "cp852", "cp855", "cp857", "cp858", "cp860", "cp861", "cp862", "cp863", "cp864", "cp865", "cp866", "cp869",
    "cp874", "cp1125", "koi8-r", "koi8-u", "koi8-t", "kz1048", "ptcp154", "tis-620", "cp932", "shift_jis",
    "euc_jp", "cp949", "euc_kr", "johab", "gb18030", "gbk", "gb2312", "big5", "big5hkscs", "cp950",
})
# fmt: on
_LONGEST_NAME = 40


def codec_name(encoding: str) -> str | None:
    """Return Python's name of an encoding in which rosters may be; None for any other."""
    try:
        name = codecs.lookup(encoding).name if len(encoding) <= _LONGEST_NAME else ""
    except (LookupError, ValueError):
        return None
    return name if name in ENCODINGS else None
