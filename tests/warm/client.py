"""Hands a command to the server whose socket lies beside this file, and ends as it ends."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(str(Path(__file__).with_name("socket")))
    request = json.dumps({"argv": sys.argv, "folder": str(Path.cwd()), "environment": dict(os.environ)})
    socket.send_fds(connection, [b"\n"], [0, 1, 2])
    connection.sendall(request.encode())
    connection.shutdown(socket.SHUT_WR)
    answer = connection.makefile()
    process = int(answer.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))
    code = int(answer.readline())
    if code < 0:  # a signal
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
