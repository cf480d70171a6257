"""What a step may not do, whatever the libraries that it uses would like: open a pickle, or reach another machine."""

import ipaddress
import sys
from typing import Any

from prunescope.errors import PrunescopeError

LOOPBACK = ("localhost", "ip6-localhost")


class Refused(PrunescopeError, PermissionError):
    """A step, or a library that it uses, tried what it may not; a library takes it for a connection that failed."""


def confine(step: str, network: bool) -> None:
    """Refuse to open pickles, which can run any code, and to reach other machines, for the rest of this process.

    By an audit hook of Python, which nothing can take away. Processes that the step starts have their own.

    Args:
        network: whether the step may reach other machines.
    """

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            module, name = arguments
            raise Refused(
                f"the step {step} was to open a pickle (of {module}.{name}), which can run any code; no file of this "
                "project is one: if a file came from elsewhere, delete it, and run the step again"
            )
        if event in ("socket.connect", "socket.sendto") and not network and not is_local(address := arguments[1]):
            raise Refused(f"the step {step} was to reach {address[0]}, and needs no network: please report it")

    sys.addaudithook(refuse)


def is_local(address: Any) -> bool:
    """Say whether the address of a socket is on this machine: a file, or a loopback address."""
    if not isinstance(address, tuple):
        return True
    host = address[0]
    try:
        return host in LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
