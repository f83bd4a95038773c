"""Connections spread over the processes of one server: the one with the fewest takes the next.

Processes that listen on one socket are all told of a new connection, and the first takes it. That is one whose event
loop is idle, also where its threads are at work: of two clients both are often served by one process, and the other
does nothing. Here a process that has connections waits some milliseconds, so that one that has fewer is before it.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvloop

_LOG = logging.getLogger(__name__)
_STEP_SECONDS = 0.001
"""How long is waited for the first connection, and for each doubling of them: the timers of the loop are no finer."""

_REST_SECONDS = 1.0
"""How long nothing is taken after the system had no room for a connection."""


class SharingLoop(uvloop.Loop):
    """An event loop for one of several processes: a listening socket that it is given is shared with the others."""

    async def create_server(self, protocol_factory: Any, *args: Any, **known: Any) -> Any:
        """Serve as every loop does, on a given socket as one of several.

        Args:
            protocol_factory: Makes the protocol of a connection.
            args: As every loop takes.
            known: As every loop takes; `sock` is the shared socket.
        """
        if known.get("sock") is None or known.get("ssl") is not None:
            return await super().create_server(protocol_factory, *args, **known)
        known["sock"].settimeout(0)
        known["sock"].listen(known.get("backlog") or socket.SOMAXCONN)
        return Door(self, known["sock"], protocol_factory)


class Door:
    """What takes connections of a shared socket.

    Args:
        loop: Of this process.
        listening: The socket; it is closed by whoever gave it.
        make: Makes the protocol of a connection.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listening: socket.socket, make: Callable[[], asyncio.Protocol]
    ) -> None:
        self._loop, self._listening, self._make = loop, listening, make
        self._taken: set[asyncio.BaseTransport] = set()
        self._taking: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        loop.add_reader(listening, self._told)

    def close(self) -> None:
        """Take no more connections."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._loop.remove_reader(self._listening)

    def _told(self) -> None:
        """Take the connection that waits, or let a process with fewer be before this one."""
        self._taken = {transport for transport in self._taken if not transport.is_closing()}
        if many := len(self._taken) + len(self._taking):
            self._wait((1 + many.bit_length()) * _STEP_SECONDS)
        else:
            self._take()

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._waiting = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Take a connection that still waits, and be told of others again."""
        self._loop.add_reader(self._listening, self._told)
        self._take()

    def _take(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was before, or the client has left
        except OSError as error:
            _LOG.warning("no connection can be taken: %s", error.strerror)
            self._wait(_REST_SECONDS)
            return
        task = self._loop.create_task(self._serve(connection))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            transport, _ = await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:
            connection.close()
            return
        self._taken.add(transport)
