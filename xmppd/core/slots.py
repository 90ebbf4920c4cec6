"""What a module keeps in a session: typed, and able to survive resumption and restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

if TYPE_CHECKING:
    from xmppd.core.context import Session

__all__ = ["FETCHED_UNTIL", "Slot"]

T = TypeVar("T")


class Slot(Generic[T]):
    """A named place in every session.

    :param name: unique; it names the value where sessions are written down.
    :param default: the value of a session that never set it.
    :param durable: whether it is written down at a restart; the value must then be JSON.
    """

    all: ClassVar[dict[str, Slot[Any]]] = {}

    __slots__ = ("default", "durable", "name")

    def __init__(self, name: str, default: T, *, durable: bool = True) -> None:
        self.name, self.default, self.durable = name, default, durable
        Slot.all[name] = self

    def get(self, session: Session) -> T:
        """The session's value."""
        value: T = session.slots.get(self.name, self.default)
        return value

    def set(self, session: Session, value: T) -> None:
        """Keep a value in the session."""
        session.slots[self.name] = value


#: The client has messages up to this sequence from the archive, or fetches them, instead of being sent them
#: (XEP-0386, section 4.2; XEP-0313, section 6.1.1).
FETCHED_UNTIL: Final[Slot[int]] = Slot("fetched-until", 0)
