# SPDX-License-Identifier: MIT
#
# server.py - ../server.c in stock Python 3: the server that everybody writes
# first. Another port may be given: `server.py 9001` (0: any free one).
import sys
from socket import socket, AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR

HOST = "127.0.0.1"
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8001

s = socket(AF_INET, SOCK_STREAM)
s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
s.bind((HOST, PORT))
s.listen(5)
print("Server start at: %s:%d" % s.getsockname(), flush=True)
print("wait for connection...", flush=True)

while True:
    conn, addr = s.accept()
    print("Connected by %s:%d" % addr, flush=True)
    try:
        while data := conn.recv(1024):
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            conn.sendall(b"server received you message.")
    except ConnectionError as error:
        print("%s:%d:" % addr, error, file=sys.stderr)
    conn.close()
