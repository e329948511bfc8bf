"""What a front-end asks a back-end, message by message: sent, and the reply checked to be one to that.

And what takes more than one: the protocol features, the features, and the device status that tells of these.
"""

import contextlib
from typing import TypeVar

from refimpl.errors import BackEndError
from refimpl.wire.codec import Message, Request
from refimpl.wire.features import PROTOCOL_STATUS, in_effect
from refimpl.wire.payload import NOTHING, Number, Payload
from refimpl.wire.status import RUNS, STATUS_MAX, Status
from refimpl.wire.transport import Connection, Disconnected

_P = TypeVar("_P", bound=Payload)


class Asking:
    """The connection of a front-end, None while there is none, and the protocol features negotiated on it."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self.connection: Connection | None = None
        self.protocol_features = 0
        self._status = 0

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

    def _negotiate_protocol(self, wanted: int) -> None:
        """Accept the protocol features that are wanted and offered; nothing was said of the device status so far."""
        self.protocol_features = in_effect(self._ask_number(Request.GET_PROTOCOL_FEATURES) & wanted)
        self._send(Request.SET_PROTOCOL_FEATURES, Number(self.protocol_features))
        self._status = 0

    # The device status, where that was negotiated

    def _give_features(self, features: int) -> None:
        """Accept virtio features, and say that by FEATURES_OK in the device status.

        Raises BackEndError for a status that is none, and where FEATURES_OK, once set, is gone: it does not take them.
        """
        self._send(Request.SET_FEATURES, Number(features))
        if not self.has(PROTOCOL_STATUS):
            return
        status = self._ask_number(Request.GET_STATUS)
        if status > STATUS_MAX:
            raise BackEndError(f"its device status is {status:#x}; {STATUS_MAX:#x} is the greatest")
        if not status & Status.FEATURES_OK:
            if self._status & Status.FEATURES_OK:
                raise BackEndError(f"it does not take the features {features:#x}: its device status is {status:#x}")
            self._set_status(status | Status.FEATURES_OK)
        else:
            self._status = status

    def _runs(self) -> None:
        """Say that the driver is ready. Neither an answer is waited for, as rings run already, nor a back-end.

        One that is lost by now is noticed as ever: it may have died as its rings started.
        """
        if self.has(PROTOCOL_STATUS):
            with contextlib.suppress(Disconnected):
                self._set_status(self._status | RUNS)

    def _begins_anew(self) -> None:
        """Reset the device, if it ran on this connection: every ring is stopped, and all is given again from here on.

        Not at the end of the stop, where QEMU does it: until the next start the device is suspended, and keeps all.
        """
        if self._status:
            self._set_status(0)

    def _set_status(self, status: int) -> None:
        self._send(Request.SET_STATUS, Number(status))
        self._status = status
