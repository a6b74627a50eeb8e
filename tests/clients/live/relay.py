"""A way to the server that can be cut."""

import socket as sockets
import threading
import time
import urllib.parse

from .follower import Server


class Relay:
    """Passes connections on to the server, and can cut them all."""

    def __init__(self, server):
        parts = urllib.parse.urlsplit(server.url)
        self.target = (parts.hostname, parts.port or 80)
        self.listener = sockets.create_server(("127.0.0.1", 0))
        self.pairs = []
        threading.Thread(target=self.accept, daemon=True).start()
        # The server compares the origin of pages with the host they call.
        self.server = Server(f"http://127.0.0.1:{self.listener.getsockname()[1]}", server.model, server.api_key)

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
                pair = (client, sockets.create_connection(self.target))
            except OSError:
                return
            self.pairs.append(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(sockets.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(sockets.SHUT_RDWR)
                except OSError:
                    pass

    def cut_until(self, condition):
        """Cuts, unless that was enough already: between two polls nobody notices."""
        if not condition():
            self.cut()
            time.sleep(1)
        return condition()
