"""Asks by pyOpenSSL, whose package brings an OpenSSL of its own, newer than the system's. Argument: https://HOST:PORT/PATH."""

import socket
import sys
from urllib.parse import urlsplit

from OpenSSL import SSL

url = urlsplit(sys.argv[1])
connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), socket.create_connection((url.hostname, url.port)))
connection.set_connect_state()
connection.sendall(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
connection.recv(100)
