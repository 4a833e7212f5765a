"""WebSocket frames (RFC 6455 §5): those that a server sends, and a reader of a client's that keeps nothing of their messages."""

from __future__ import annotations

from collections.abc import Callable

TEXT, BINARY = 1, 2
_CLOSE, _PING = 8, 9
_PONG = 10
_CONTROL = 8
"""Opcodes from here on are control frames."""
_LONGEST_CONTROL_BYTES = 125

NORMAL, PROTOCOL_ERROR, POLICY_VIOLATION, TOO_BIG = 1000, 1002, 1008, 1009
"""Codes of close frames (RFC 6455 §7.4.1)."""

_MESSAGE_LIMIT_BYTES = 32 << 20
"""The largest message of a client (golang.org/x/net/websocket, which kube-apiserver uses). Nothing of it is kept."""
_FRAMES = 256
"""The most frames in one piece of received bytes: a frame costs time, however short it is."""


def message(opcode: int, payload: bytes) -> bytes:
    """A whole message in one frame. `opcode`: TEXT or BINARY."""
    return _head(opcode, len(payload)) + payload


def close_frame(code: int) -> bytes:
    return _head(_CLOSE, 2) + code.to_bytes(2, "big")


def _head(opcode: int, size: int) -> bytes:
    first = 0x80 | opcode
    if size <= _LONGEST_CONTROL_BYTES:
        return bytes((first, size))
    if size < 1 << 16:
        return b"%c\x7e%b" % (first, size.to_bytes(2, "big"))
    return b"%c\x7f%b" % (first, size.to_bytes(8, "big"))


class ClientFrames:
    """Reads the frames of a client that has nothing to say: drops its messages, and calls `pong` with the frame that answers a
    ping.

    `close_code`: the code to close the connection with, once the client has closed it or broken a rule; from then on bytes are
    ignored. It is 0 before.
    """

    __slots__ = ("_control", "_head", "_in_message", "_left", "_message_bytes", "_opcode", "_pong", "close_code")

    def __init__(self, pong: Callable[[bytes], None]) -> None:
        self.close_code = 0
        self._pong = pong
        self._head = b""
        self._opcode = 0
        self._left = 0
        """How many bytes of the present frame's payload are to come."""
        self._control = b""
        """The masking key and the payload of the present control frame, as far as they are known."""
        self._in_message = False
        self._message_bytes = 0

    def feed(self, data: bytes) -> None:
        """Reads a piece of what the client sent. Frames may begin and end anywhere in it."""
        at, size, frames = 0, len(data), 0
        while at < size and not self.close_code:
            if self._left:
                taken = min(self._left, size - at)
                if self._opcode >= _CONTROL:
                    self._control += data[at : at + taken]
                self._left -= taken
                at += taken
            else:
                wanted = _head_size(self._head)
                taken = min(wanted - len(self._head), size - at)
                self._head += data[at : at + taken]
                at += taken
                if len(self._head) < wanted or _head_size(self._head) > wanted:
                    continue
                frames += 1
                if frames > _FRAMES:
                    self.close_code = POLICY_VIOLATION
                    return
                self._begin(self._head)
                self._head = b""
            if not self._left and not self._head and not self.close_code:
                self._end()

    def _begin(self, head: bytes) -> None:
        """A frame begins. `head`: all of it, with the masking key."""
        final, opcode = bool(head[0] & 0x80), head[0] & 0x0F
        length = head[1] & 0x7F if head[1] & 0x7F < 126 else int.from_bytes(head[2:-4], "big")
        control = opcode >= _CONTROL
        known = opcode <= _PONG and opcode in (0, TEXT, BINARY, _CLOSE, _PING, _PONG)
        if (
            head[0] & 0x70
            or not head[1] & 0x80
            or not known
            or (control and not final)
            or (control and length > _LONGEST_CONTROL_BYTES)
            or (not control and self._in_message != (opcode == 0))
        ):
            self.close_code = PROTOCOL_ERROR
        elif not control:
            self._message_bytes = length if opcode else self._message_bytes + length
            self._in_message = not final
            if self._message_bytes > _MESSAGE_LIMIT_BYTES:
                self.close_code = TOO_BIG
        self._opcode, self._left, self._control = opcode, length, head[-4:]

    def _end(self) -> None:
        """A frame has ended."""
        if self._opcode == _CLOSE:
            self.close_code = NORMAL
        elif self._opcode == _PING:
            # As numbers: byte by byte, the pings of one piece would take a long turn.
            size = len(self._control) - 4
            key = (self._control[:4] * (size // 4 + 1))[:size]
            payload = int.from_bytes(self._control[4:], "big") ^ int.from_bytes(key, "big")
            self._pong(_head(_PONG, size) + payload.to_bytes(size, "big"))


def _head_size(head: bytes) -> int:
    """How many bytes a frame's head has, as far as `head`, its beginning, tells. A frame without a mask is not read further."""
    if len(head) < 2:
        return 2
    if not head[1] & 0x80:
        return 2
    return 6 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
