"""Servers that can be measured. To add one, write its adapter and list its classes here."""

from bench.servers import ejabberd, floor, prosody, xmppd
from bench.servers.base import Server

__all__ = ["SERVERS"]

SERVERS: dict[str, type[Server]] = {
    each.name: each
    for each in (
        xmppd.Xmppd,
        prosody.Prosody,
        prosody.ProsodyFiles,
        prosody.ProsodyNoArchive,
        prosody.ProsodyNoDelay,
        ejabberd.Ejabberd,
        ejabberd.EjabberdMnesia,
        ejabberd.EjabberdNoArchive,
        ejabberd.EjabberdNoSpin,
        floor.Floor,
        floor.FloorRows,
        floor.FloorStock,
    )
}
