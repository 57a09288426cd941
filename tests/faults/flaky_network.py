"""A TCP proxy that a test can cut, or make lose an answer: the server has done what was asked, and nobody is told."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_CHUNK = 1 << 16
_LONGEST = 100


class Proxy:
    """Forwards connections from ``url`` to the server of another URL.

    Attributes:
        lost: how many answers were lost so far.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lost = 0
        self._away = False
        self._doomed: re.Pattern[bytes] | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def away(self) -> None:
        """Cut every connection, and every new one, until :meth:`back`."""
        self._away = True
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def back(self) -> None:
        """Forward again."""
        self._away = False

    def lose_an_answer(self, table: str) -> None:
        """The next insert into a table reaches the server; then its connection is cut before the answer."""
        # The statement is in the body, or in the address, where signs are written as numbers.
        blank, quote = rb"(?: |\+|%20)", rb"(?:`|%60)"
        self._doomed = re.compile(rb"INSERT" + blank + rb"INTO" + blank + quote + table.encode() + quote)

    def close(self) -> None:
        """Stop listening, and cut everything."""
        self._listener.close()
        self.away()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._away:
                client.close()
            else:
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._server) as server:
            self._forward(client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        doomed, tail = threading.Event(), b""
        back = threading.Thread(target=self._answers, args=(server, client, doomed), daemon=True)
        with self._known(client, server):
            back.start()
            while data := client.recv(_CHUNK):
                # What is looked for may lie across two chunks.
                if self._doomed and self._doomed.search(tail + data):
                    self._doomed = None
                    doomed.set()
                tail = data[-_LONGEST:]
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _answers(self, server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                if doomed.is_set():
                    self.lost += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _known(self, *sockets: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.update(sockets)
        try:
            yield
        finally:
            with self._lock:
                self._open.difference_update(sockets)
