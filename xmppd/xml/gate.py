"""The gate in front of expat: whole tags only, and nothing that XMPP forbids.

Newer expats (and Debian's 2.5.0 with its back-port) hold back elements that arrive in pieces, 6 to 20 % of
them when measured ("reparse deferral").  Fed with whole tags they hold back nothing.  The gate therefore
keeps what does not end with a tag yet, knows quotes and CDATA across chunks, and refuses DTDs, comments and
processing instructions (RFC 6120, 11.1) and bytes that are not UTF-8 before expat sees them.
"""

from __future__ import annotations

import re

from xmppd.core.errors import StreamError

__all__ = ["Gate", "end_of_first_tag"]

#: As many whole tags, with the text before each, as there are.  Possessive: it never tries a second way.
_whole_tags = re.compile(rb"""(?:[^<]*+<[^<>!?'"][^<>'"]*+(?:(?:'[^'<]*+'|"[^"<]*+")[^<>'"]*+)*+>)*+""").match
_first_tag = re.compile(rb"""[^<]*+<[^<>!?'"][^<>'"]*+(?:(?:'[^'<]*+'|"[^"<]*+")[^<>'"]*+)*+>""").match
#: What may come next inside a tag.
_in_tag = re.compile(rb"""[<>'"]""").search
_CDATA = b"<![CDATA["
_DECLARATION = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(['"])1\.[0-9]+\1"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(['"])([A-Za-z0-9._-]+)\2)?"""
    rb"""(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(['"])(?:yes|no)\4)?[ \t\r\n]*\?>"""
)

_TEXT, _TAG, _SECTION, _SINGLE, _DOUBLE = b"<", b">", b"]]>", b"'", b'"'


class Gate:
    """Takes bytes as they arrive and hands out whole tags.

    What is kept is bounded by whoever asks for `held`: the gate knows nothing of limits.

    :param at_start: whether an XML declaration may stand here (the start of a stream).
    """

    __slots__ = ("_at_start", "_kept", "_scanned", "_state")

    def __init__(self, *, at_start: bool = True) -> None:
        self._at_start = at_start
        self._kept = bytearray()
        self._scanned = 0
        self._state = _TEXT

    @property
    def held(self) -> int:
        """How many bytes are kept until their tag is whole."""
        return len(self._kept)

    def drain(self) -> bytes:
        """Take out what is kept."""
        kept = bytes(self._kept)
        self._kept.clear()
        self._scanned, self._state = 0, _TEXT
        return kept

    def drop_whitespace(self) -> None:
        """Forget kept whitespace: between stanzas it only keeps the connection alive."""
        if self._state is _TEXT and not self._kept.strip(b" \t\r\n"):
            self.drain()

    def feed(self, data: bytes) -> bytes:
        """Add bytes; return all that ends with a whole tag.

        :raises StreamError: ``restricted-xml``, ``unsupported-encoding``, ``bad-format``.
        """
        if self._at_start:
            data = self._skip_declaration(data)
        if not self._kept:
            match = _whole_tags(data)
            end = match.end() if match else 0
            if end == len(data):
                return _checked(data)
            self._kept += data
            self._scanned = end
        else:
            self._kept += data
            end = 0
        return self._release(self._scan(end))

    def _release(self, end: int) -> bytes:
        if not end:
            return b""
        whole = bytes(self._kept[:end])
        del self._kept[:end]
        self._scanned -= end
        return _checked(whole)

    def _scan(self, end: int) -> int:
        """Go on from where the last scan stopped; return the end of the last whole tag."""
        while True:
            if self._state is _TEXT:
                moved = self._enter()
            elif self._state is _TAG:
                moved = self._inside_tag()
            else:
                moved = self._find_end(self._state)
            if not moved:
                return end
            if self._state is _TEXT:
                end = self._scanned

    def _enter(self) -> bool:
        """From text to a tag or a CDATA section."""
        kept = self._kept
        start = kept.find(b"<", self._scanned)
        if start < 0:
            self._scanned = len(kept)
            return False
        self._scanned = start
        opening = bytes(kept[start : start + len(_CDATA)])
        if opening == _CDATA:
            self._state, self._scanned = _SECTION, start + len(_CDATA)
            return True
        if opening.startswith(b"<?") or (opening.startswith(b"<!") and not _CDATA.startswith(opening)):
            raise StreamError("restricted-xml", "No comments, processing instructions or DTDs in XMPP")
        if len(opening) == 1 or opening.startswith(b"<!"):
            return False
        self._state, self._scanned = _TAG, start + 1
        return True

    def _inside_tag(self) -> bool:
        found = _in_tag(self._kept, self._scanned)
        if found is None:
            self._scanned = len(self._kept)
            return False
        if found[0] == b"<":
            raise StreamError("not-well-formed", "A tag began inside another tag")
        self._scanned = found.end()
        self._state = {b">": _TEXT, b"'": _SINGLE, b'"': _DOUBLE}[bytes(found[0])]
        return True

    def _find_end(self, mark: bytes) -> bool:
        """To the end of a quoted value (which goes on as a tag) or of a CDATA section."""
        place = self._kept.find(mark, self._scanned)
        if place < 0:
            self._scanned = max(self._scanned, len(self._kept) - len(mark) + 1)
            return False
        self._scanned = place + len(mark)
        self._state = _TEXT if mark is _SECTION else _TAG
        return True

    def _skip_declaration(self, data: bytes) -> bytes:
        """Take the XML declaration, which is legal at the very start of a stream only."""
        data = self.drain() + data
        start = data.lstrip(b" \t\r\n")
        if start.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
            raise StreamError("unsupported-encoding", "Only UTF-8 is supported")
        if len(start) < 5 and b"<?xml".startswith(start):
            self._kept += start
            return b""
        if start.startswith(b"<?xml") and start[5:6] in b" \t\r\n":
            if b"?>" not in start and len(start) < 200:
                self._kept += start
                return b""
            start = _without_declaration(start)
        self._at_start = False
        return start


def end_of_first_tag(whole: bytes) -> int:
    """Where the first tag of whole tags ends; all of them where CDATA comes before it."""
    found = _first_tag(whole)
    return found.end() if found else len(whole)


def _without_declaration(data: bytes) -> bytes:
    found = _DECLARATION.match(data)
    if found is None:
        raise StreamError("not-well-formed", "The XML declaration is not well-formed")
    if (found[3] or b"utf-8").lower() != b"utf-8":
        raise StreamError("unsupported-encoding", "Only UTF-8 is supported")
    return data[found.end() :]


def _checked(data: bytes) -> bytes:
    """Strict UTF-8 (CVE-2022-25235: expat once let malformed tails through)."""
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise StreamError("bad-format", "The bytes are not UTF-8") from None
    return data
