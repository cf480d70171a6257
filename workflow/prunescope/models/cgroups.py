"""What control groups leave this process of the host's memory: the limits of a Slurm job, a pod, a container."""

from collections.abc import Iterator
from pathlib import Path

OWN = Path("/proc/self/cgroup")
VERSION_2 = Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"
VERSION_1 = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


def memory_left() -> list[int]:
    """Return the bytes that are left in each group that has a limit; those of a group hold for all groups in it.

    Files that were read and can be dropped (`inactive_file`) are not counted as used, as Kubernetes does.
    """
    return [left for group in _groups() if (left := _left(*group)) is not None]


def _groups() -> Iterator[tuple[Path, str, str, str]]:
    """Yield the folders of this process's groups, from the outermost on, and the names in them."""
    for line in OWN.read_text(encoding="utf-8").splitlines() if OWN.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            root, *names = VERSION_1 if controllers else VERSION_2
            parts = path.strip("/").split("/")
            # In a container the path may be the host's, whose root is then the container's own group.
            yield from ((root.joinpath(*parts[:depth]), *names) for depth in range(len(parts) + 1))


def _left(group: Path, limit: str, used: str, cache: str) -> int | None:
    try:
        allowed = (group / limit).read_text(encoding="utf-8").strip()
        current = int((group / used).read_text(encoding="utf-8"))
        counts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
    except OSError:
        return None  # no such group, or one that cannot have a limit
    return None if allowed == "max" else max(0, int(allowed) - current + int(counts.get(cache, 0)))
