"""The nonzas of stream management (XEP-0198): enable, resume, ask and acknowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.module import Xep
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.stream.resumption import Resumption
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import Smacks, failed, read_h
from xmppd.xml.parser import Nonza

__all__ = ["SM", "enable", "resume"]


def _offer(stream: ClientStream) -> bytes:
    if stream.session is not None and stream.session.smacks is not None:
        return b""
    return f"<sm xmlns='{ns.SM}'/><sm xmlns='{ns.SM2}'/>".encode()


def _enable(stream: ClientStream, nonza: Nonza) -> None:
    session = stream.session
    if session is None:
        stream.write(failed(nonza.namespace, "unexpected-request"))
        return
    if session.smacks is not None:
        stream.write(failed(nonza.namespace, "unexpected-request"))
        raise StreamError("policy-violation", "Stream management is enabled already")
    enable(stream, session, nonza.namespace, nonza.attrs).begin()


def enable(stream: ClientStream, session: ClientSession, xmlns: str, attrs: Mapping[Any, str]) -> Smacks:
    """Count from now on what a session receives.

    :param attrs: of the ``<enable/>``.
    """
    limits = stream.services.sm
    wanted = read_h(attrs.get("max"))
    resume_for = limits.resume if not wanted else min(limits.resume, float(wanted))
    return Smacks(
        session,
        xmlns,
        stream.services.clock,
        limits,
        resumable=attrs.get("resume") in ("true", "1") and resume_for > 0 and not session.account.is_guest,
        resume_for=resume_for,
        expired=stream.services.keeper.end,
    )


def _ask(stream: ClientStream, _: Nonza) -> None:
    _smacks(stream).asked()


def _acknowledge(stream: ClientStream, nonza: Nonza) -> None:
    _smacks(stream).acknowledged(nonza.attrs.get("h"))


def _smacks(stream: ClientStream) -> Smacks:
    if stream.session is None or stream.session.smacks is None:
        raise StreamError("policy-violation", "Stream management is not enabled")
    return stream.session.smacks


def _bare(_: ClientSession, resumed: bytes) -> bytes:
    return resumed


async def _resume(stream: ClientStream, nonza: Nonza) -> None:
    answer = await resume(stream, nonza.namespace, nonza.attrs)
    if answer:
        stream.write(answer)


async def resume(
    stream: ClientStream,
    xmlns: str,
    attrs: Mapping[Any, str],
    wrap: Callable[[ClientSession, bytes], bytes] = _bare,
) -> bytes:
    """Let a stream go on with a session, if that is possible.

    :param attrs: of the ``<resume/>``.
    :param wrap: puts something around the ``<resumed/>`` of the session.
    :returns: the ``<failed/>`` to write; nothing if it is resumed, or the stream has ended meanwhile.
    :raises StreamError: ``undefined-condition`` for too high an `h`.
    """
    account = stream.account
    if stream.state is not State.AUTHENTICATED or account is None:
        return failed(xmlns, "unexpected-request")
    h, token = read_h(attrs.get("h")), attrs.get("previd", "")
    if h is None or not token:
        return failed(xmlns, "bad-request")
    if not stream.services.sm.resume:
        return failed(xmlns, "feature-not-implemented")
    return await Resumption(stream, xmlns, token, h, wrap).run(account)


SM = Feature(
    frozenset((State.AUTHENTICATED, State.BOUND)),
    _offer,
    {
        (xmlns, name): handler
        for xmlns in (ns.SM, ns.SM2)
        for name, handler in (
            ("enable", _enable),
            ("resume", _resume),
            ("r", _ask),
            ("a", _acknowledge),
        )
    },
    xeps=(Xep("0198", "1.6.3", "Stream Management"),),
)
