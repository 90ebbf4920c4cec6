"""The gate in front of expat: whole tags only, and nothing that XMPP forbids.

Newer expats (and Debian's 2.5.0 with its back-port) hold back elements that arrive in pieces, 6 to 20 % of
them when measured ("reparse deferral").  Fed with whole tags they hold back nothing.  The gate therefore
keeps what does not end with a tag yet, knows quotes and CDATA across chunks, and refuses DTDs, comments and
processing instructions (RFC 6120, 11.1) and bytes that are not UTF-8 before expat sees them.
"""

from __future__ import annotations

import re

from xmppd.core.errors import StreamError

__all__ = ["WHITESPACE", "Gate", "match_tag"]

#: White space by production 3 of XML 1.0; `bytes.strip` alone would take form feeds too.
WHITESPACE = b" \t\r\n"

# Possessive, so that nothing is tried twice, but not around groups: there Python 3.11.2 (gh-106052) is wrong.

#: A whole tag, at the place of its opening bracket.
match_tag = re.compile(rb"""<[^<>'"]*+(?:(?:'[^'<]*+'|"[^"<]*+")[^<>'"]*+)*>""").match
_ends_with_tag = re.compile(rb"""(?s:.*)<[^<>'"]*+(?:(?:'[^'<]*+'|"[^"<]*+")[^<>'"]*+)*>""").fullmatch
#: As many whole tags, with the text before each, as there are.
_whole_tags = re.compile(rb"""(?:[^<]*+<[^<>!?'"][^<>'"]*+(?:(?:'[^'<]*+'|"[^"<]*+")[^<>'"]*+)*>)*""").match
#: As many whole values, with what stands between, as there are inside a tag.
_whole_values = re.compile(rb"""[^<>'"]*+(?:(?:'[^'<]*+'|"[^"<]*+")[^<>'"]*+)*""").match
#: What may come next inside a tag.
_in_tag = re.compile(rb"""[<>'"]""").search
_CDATA = b"<![CDATA["
_XML = b"<?xml"
#: How the other encodings of XML begin, with and without a byte order mark.
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
#: UTF-8 needs no byte order mark, and XMPP takes it for the character that it is (RFC 6120, 11.6).
_MARK = b"\xef\xbb\xbf"
_LONGEST_DECLARATION = 200
_DECLARATION = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(['"])(1\.[0-9]+)\1"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(['"])([A-Za-z][A-Za-z0-9._-]*)\3)?"""
    rb"""(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(['"])(?:yes|no)\5)?[ \t\r\n]*\?>"""
)

_TEXT, _TAG, _SECTION, _SINGLE, _DOUBLE = b"<", b">", b"]]>", b"'", b'"'
_NEXT = {b">": _TEXT, b"'": _SINGLE, b'"': _DOUBLE}


class Gate:
    """Takes bytes as they arrive and hands out whole tags.

    Whoever feeds it bounds what it keeps: the gate knows nothing of limits.

    :param at_start: whether an XML declaration may stand here (the start of a stream).
    :ivar kept: the bytes that wait for the end of their tag; only to be looked at.
    :ivar problem: what is wrong with the bytes behind those that were handed out, if anything is: condition
        and text of a stream error.
    """

    __slots__ = ("_at_start", "_scanned", "_state", "kept", "problem")

    def __init__(self, *, at_start: bool = True) -> None:
        self._at_start = at_start
        self.kept = bytearray()
        self._scanned = 0
        self._state = _TEXT
        self.problem: tuple[str, str] | None = None

    @property
    def holds_text(self) -> bool:
        """Whether what is kept begins with something else than a tag."""
        return bool(self.kept) and not self._at_start and self.kept[0] != _TEXT[0]

    def drain(self) -> bytes:
        """Take out what is kept."""
        kept = bytes(self.kept)
        self.kept.clear()
        self._scanned, self._state = 0, _TEXT
        return kept

    def trim(self) -> None:
        """Forget white space before the next tag: between stanzas it only keeps the connection alive."""
        kept = self.kept
        if kept and kept[0] in WHITESPACE:
            blanks = len(kept) - len(kept.lstrip(WHITESPACE))
            del kept[:blanks]
            self._scanned = max(0, self._scanned - blanks)

    def feed(self, data: bytes) -> bytes:
        """Add bytes; return all that ends with a whole tag.

        What follows may be wrong: then `problem` says so (``restricted-xml``, ``unsupported-encoding``,
        ``not-well-formed``), and the gate must not be fed again.
        """
        if self._at_start:
            data = self._begin(data)
        # Without CDATA and comments each "<" begins a tag, or the bytes are not well-formed: expat says so.
        # One byte is sought before two, and these from the end, because that is several times as fast.
        if (
            not self.kept
            and (data.find(b"!") < 0 or data.rfind(b"<!") < 0)
            and (data.find(b"?") < 0 or data.rfind(b"<?") < 0)
            and _ends_with_tag(data)
        ):
            return data if data.isascii() else self._checked(data)
        if not data:
            return b""
        self.kept += data
        return self._checked(self._release())

    def reach(self, data: bytes | bytearray) -> int:
        """How many of these bytes can be fed without a byte behind the end of a tag.

        It may be fewer, but not so few that each bracket in a text or a value is fed for itself.
        """
        state, place = self._state, 0
        if self._at_start or state is _TAG:
            pass
        elif state is _SECTION:
            place = 0 if self.kept.endswith(b"]") else data.find(_SECTION)
        elif state is not _TEXT:
            place = data.find(state)
        elif self._scanned == len(self.kept):
            place = data.find(b"<")
        return len(data) if place < 0 else data.find(b">", place) + 1 or len(data)

    def _release(self) -> bytes:
        """Take out what has become whole."""
        end = self._scan()
        whole = bytes(self.kept[:end])
        del self.kept[:end]
        self._scanned -= end
        return whole

    def _checked(self, whole: bytes) -> bytes:
        """Strict UTF-8 (CVE-2022-25235: expat once let malformed tails through)."""
        try:
            whole.decode("utf-8")
        except UnicodeDecodeError as error:
            good = Gate(at_start=False).feed(whole[: error.start])
            self.kept[:0] = whole[len(good) :]
            self.problem = ("unsupported-encoding", "The bytes are not UTF-8")
            return good
        return whole

    def _scan(self) -> int:
        """Go on from where the last scan stopped; return the end of the last whole tag."""
        end, moved = 0, True
        while moved and self.problem is None:
            if self._state is _TEXT:
                if whole := _end_of_whole_tags(self.kept, self._scanned):
                    end = self._scanned = whole
                moved = self._enter()
            elif self._state is _TAG:
                moved = self._inside_tag()
            elif self._state is _SECTION:
                moved = self._inside_section()
            else:
                moved = self._inside_value()
            if moved and self._state is _TEXT:
                end = self._scanned
        return end

    def _enter(self) -> bool:
        """From text to the inside of a tag or of a CDATA section."""
        kept = self.kept
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
            self.problem = ("restricted-xml", "No comments, processing instructions or DTDs here")
            return False
        if _CDATA.startswith(opening):
            return False
        self._state, self._scanned = _TAG, start + 1
        return True

    def _inside_tag(self) -> bool:
        """To the end of a tag, or to a quoted value in it that is not whole."""
        values = _whole_values(self.kept, self._scanned)
        if values is not None:
            self._scanned = values.end()
        found = _in_tag(self.kept, self._scanned)
        if found is None:
            self._scanned = len(self.kept)
            return False
        if found[0] == b"<":
            self.problem = ("not-well-formed", "A tag began inside another tag")
            return False
        self._scanned = found.end()
        self._state = _NEXT[bytes(found[0])]
        return True

    def _inside_value(self) -> bool:
        """To the closing quote of a value; then the tag goes on."""
        place = self.kept.find(self._state, self._scanned)
        end = len(self.kept) if place < 0 else place
        if self.kept.find(b"<", self._scanned, end) >= 0:
            self.problem = ("not-well-formed", "A tag began inside the value of an attribute")
            return False
        if place < 0:
            self._scanned = end
            return False
        self._state, self._scanned = _TAG, end + 1
        return True

    def _inside_section(self) -> bool:
        """To the end of a CDATA section."""
        place = self.kept.find(_SECTION, self._scanned)
        if place < 0:
            self._scanned = max(self._scanned, len(self.kept) - len(_SECTION) + 1)
            return False
        self._state, self._scanned = _TEXT, place + len(_SECTION)
        return True

    def _begin(self, data: bytes) -> bytes:
        """Take the XML declaration, which is legal at the very start of a stream only."""
        start = (self.drain() + data).lstrip(WHITESPACE)
        rest = None
        try:
            rest = _behind_declaration(start)
        except StreamError as problem:
            self.problem = problem.condition, problem.text
        if rest is None:
            self.kept += start
            return b""
        self._at_start = False
        return rest


def _end_of_whole_tags(data: bytearray, start: int) -> int:
    """Where the last of the whole tags from `start` on ends; 0 where there is none."""
    found = _whole_tags(data, start)
    return found.end() if found and found.end() > start else 0


def _behind_declaration(start: bytes) -> bytes | None:
    """What follows the XML declaration, if there is one; None until that is known.

    :raises StreamError: it announces, or the bytes are, something else than XML 1.0 in UTF-8.
    """
    if start.startswith(_MARK):
        raise StreamError("not-well-formed", "A byte order mark is text, and text may not stand here")
    if start.startswith(_UTF_16):
        raise StreamError("unsupported-encoding", "Only UTF-8 is supported")
    if any(opening.startswith(start) for opening in (_XML, _MARK, *_UTF_16)):
        return None
    if not start.startswith(_XML) or start[5] not in WHITESPACE:
        return start
    if start.find(b"?>", 0, _LONGEST_DECLARATION) < 0:
        if len(start) < _LONGEST_DECLARATION:
            return None
        raise StreamError("not-well-formed", "The XML declaration does not end")
    return _without_declaration(start)


def _without_declaration(data: bytes) -> bytes:
    found = _DECLARATION.match(data)
    if found is None:
        raise StreamError("not-well-formed", "The XML declaration is not well-formed")
    if found[2] != b"1.0":
        raise StreamError("restricted-xml", "Only version 1.0 of XML is supported")
    if (found[4] or b"utf-8").lower() != b"utf-8":
        raise StreamError("unsupported-encoding", "Only UTF-8 is supported")
    return data[found.end() :]
