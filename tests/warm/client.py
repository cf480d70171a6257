"""Hands a command to the server whose socket lies beside this file, and ends as it ends."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

program = Path(sys.argv[0])
alone = sys.argv[1:2] == ["-I"]
if program.name == "python" and sys.argv[1 + alone].startswith("-") and sys.argv[1 + alone] != "-c":
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # a module, which a server does not run
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(str(program.with_name("alone" if alone else "all")))
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
        if code != -signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
