"""Whether a server could listen at an address.

usage: can_bind.py HOST PORT
Exits with 1 if the port is in use. Whatever else may be wrong with the address, the server itself says best.
"""

import errno
import socket
import sys


def can_bind(host, port):
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            probe.bind(address)
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


if __name__ == "__main__":
    sys.exit(0 if can_bind(sys.argv[1], int(sys.argv[2])) else 1)
