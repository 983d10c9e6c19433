# SPDX-License-Identifier: MIT
#
# client.py - ../client.c in stock Python 3: the client that everybody writes
# first. Another port may be given: `client.py 9001`.
import sys
from socket import socket, AF_INET, SOCK_STREAM

HOST = "127.0.0.1"
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8001

s = socket(AF_INET, SOCK_STREAM)
s.connect((HOST, PORT))

while True:
    try:
        cmd = input("Please input msg:") + "\n"
    except EOFError:
        break
    s.send(cmd.encode())
    data = s.recv(1024)
    if not data:
        break
    print(data.decode())

s.close()
