"""The one place where answers to stanzas are built (RFC 6120, sections 8.2.3 and 8.3)."""

from __future__ import annotations

from xmppd.core import ns
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError
from xmppd.core.stanza import Stanza, escape_text

__all__ = ["error", "may_answer_with_error", "result"]


def _answer(request: Stanza, kind: str) -> Stanza:
    attrs = {"type": kind}
    if request.id is not None:
        attrs["id"] = request.id
    return Stanza(request.kind, attrs, to=request.sender, sender=request.to)


def result(request: Stanza, namespace: str = "", name: str = "", payload: bytes = b"") -> Stanza:
    """The result of an iq request, empty or with one payload."""
    answer = _answer(request, "result")
    if payload:
        answer.inner = payload
        answer.children = ((namespace, name, 0, len(payload)),)
    return answer


def may_answer_with_error(stanza: Stanza) -> bool:
    """An error is never answered, nor is the result of an iq (RFC 6120, 8.3.1 and 8.2.3)."""
    return stanza.type != "error" and not (stanza.kind == "iq" and stanza.type == "result")


def error_element(problem: StanzaError) -> bytes:
    """The ``<error/>`` of a stanza."""
    text = application = ""
    if problem.text:
        text = f"<text xmlns='{ns.STANZA_ERRORS}' xml:lang='en'>{escape_text(problem.text)}</text>"
    if problem.app:
        application = f"<{problem.app[1]} xmlns='{problem.app[0]}'/>"
    condition = f"<{problem.condition} xmlns='{ns.STANZA_ERRORS}'/>"
    return f"<error type='{problem.type}'>{condition}{text}{application}</error>".encode()


def error(stanza: Stanza, problem: StanzaError) -> Stanza:
    """The error that answers a stanza; check `may_answer_with_error` first."""
    hits.told(problem.text)
    answer = _answer(stanza, "error")
    answer.inner = error_element(problem)
    answer.children = ((ns.CLIENT, "error", 0, len(answer.inner)),)
    return answer
