"""What a front-end asks a back-end, message by message: sent, and the reply checked to be one to that."""

from typing import TypeVar

from refimpl.errors import BackEndError
from refimpl.wire.codec import Message, Request
from refimpl.wire.payload import NOTHING, Number, Payload
from refimpl.wire.transport import Connection, Disconnected

_P = TypeVar("_P", bound=Payload)


class Asking:
    """The connection of a front-end, None while there is none, and the protocol features negotiated on it."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self.connection: Connection | None = None
        self.protocol_features = 0

    def has(self, feature: int) -> bool:
        """Return whether a protocol feature was negotiated."""
        return bool(self.protocol_features & feature)

    def _connected(self) -> Connection:
        """Return the connection. Raises Disconnected when there is none."""
        if self.connection is None:
            raise Disconnected("there is no connection")
        return self.connection

    def _send(
        self, request: Request, payload: Payload = NOTHING, fd: int | None = None, *, need_reply: bool = False
    ) -> None:
        """Send a request that has no reply of its own, and check the ack if one is asked for."""
        connection = self._connected()
        connection.send(Message(request, payload, need_reply=need_reply), [] if fd is None else [fd])
        if need_reply:
            status = self._reply(request, Number).value
            if status:
                raise BackEndError(f"it refused {request.name} with {status}")

    def _ask(self, request: Request, payload: Payload, kind: type[_P]) -> _P:
        """Send a request and return the reply's payload."""
        self._connected().send(Message(request, payload))
        return self._reply(request, kind)

    def _ask_number(self, request: Request) -> int:
        """Send a request without payload and return the number that answers it."""
        return self._ask(request, NOTHING, Number).value

    def _reply(self, request: Request, kind: type[_P]) -> _P:
        """Wait for the reply to ``request``. Raises BackEndError when something else comes."""
        with self._connected().receive() as received:
            payload = received.message.payload
            if received.message.request != request or not isinstance(payload, kind):
                raise BackEndError(f"{received.message} with {payload} answered {request.name}")
            return payload
