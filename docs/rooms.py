"""The rooms of the package and their order; run as a script it draws `images/rooms.svg` from the imports.

A module may import from its own room and from rooms before it in `ORDER`. Within one line rooms are independent.
"""

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "workflow/prunescope"
PICTURE = ROOT / "docs/images/rooms.svg"
FOUNDATION = "foundation"
"""The modules that lie in no folder: errors, atomic files, progress, optional packages."""

ORDER = (
    (FOUNDATION, "errors, atomic files, progress"),
    ("config", "sections, names, sweeps"),
    ("artifacts", "typed files and folders"),
    ("steps", "the table of steps"),
    ("data", "texts and windows"),
    ("models", "adapters, checkpoints"),
    ("importance", "gradients, criteria, selection"),
    ("pruning", "surgery"),
    ("trial", "interventions"),
    ("export", "other formats, verify"),
    ("evaluation", "perplexity, tasks, speed"),
    ("recovery", "training"),
    ("search", "settings that are found"),
    ("diagnosis", "rules, remedies, words"),
    ("reporting", "figures, pages, console"),
    ("tracking", "MLflow"),
    ("runs", "banner, times, failures"),
    ("cli", "commands"),
)
ROOMS = [name for name, _ in ORDER]
WIDTH, HEIGHT, STEP, MARGIN = 300, 34, 52, 330


def room_of(module: Path) -> str:
    """Return the room of a module of the package."""
    return module.parts[0] if len(module.parts) > 1 else FOUNDATION


def imports() -> dict[tuple[str, str], list[str]]:
    """Return the modules that import from another room, by (room, imported room)."""
    found: dict[tuple[str, str], list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        module = file.relative_to(PACKAGE)
        for name in imported(ast.parse(file.read_text(encoding="utf-8"))):
            folder = name.split(".")[1]
            other = folder if (PACKAGE / folder).is_dir() else FOUNDATION
            if other != room_of(module):
                found.setdefault((room_of(module), other), []).append(f"{module.as_posix()} imports {name}")
    return found


def imported(tree: ast.AST) -> list[str]:
    """Return the modules of the package that code imports, inside functions too; not those for type checks alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module == "prunescope"
            names += [f"prunescope.{alias.name}" for alias in node.names] if whole else [node.module]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.startswith("prunescope.")]


def upward() -> list[str]:
    """Return the imports that go against the order."""
    return [
        line for (room, other), lines in imports().items() if ROOMS.index(other) > ROOMS.index(room) for line in lines
    ]


def draw() -> str:
    """Return the picture: rooms from the foundation up, an arrow for each import that no longer way implies."""
    edges = {(room, other) for room, other in imports() if other != FOUNDATION}
    below: dict[str, set[str]] = {}
    for room in ROOMS:
        direct = {other for one, other in edges if one == room}
        below[room] = direct.union(*(below[other] for other in direct))
    shown = [
        (room, other)
        for room, other in sorted(edges)
        if not any(other in below[between] for one, between in edges if one == room and between != other)
    ]
    height = STEP * len(ORDER) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 2 * MARGIN}" height="{height}" '
        f'viewBox="0 0 {WIDTH + 2 * MARGIN} {height}" font-family="sans-serif" font-size="13">',
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#667"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    level = {room: height - 10 - HEIGHT - STEP * index for index, room in enumerate(ROOMS)}
    for number, (room, other) in enumerate(sorted(shown, key=lambda edge: level[edge[1]] - level[edge[0]])):
        start, end = level[room] + HEIGHT / 2, level[other] + HEIGHT / 2
        left = number % 2
        side, out = (MARGIN, -1) if left else (MARGIN + WIDTH, 1)
        bend = side + out * min(30 + (end - start) / 3, MARGIN - 10)
        parts.append(
            f'<path d="M{side} {start + 6:.0f}C{bend:.0f} {start:.0f} {bend:.0f} {end:.0f} {side} {end - 6:.0f}" '
            'fill="none" stroke="#99a" marker-end="url(#arrow)"/>'
        )
    for room, holds in ORDER:
        y = level[room]
        parts += [
            f'<rect x="{MARGIN}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="#eef3fb" stroke="#567"/>',
            f'<text x="{MARGIN + 10}" y="{y + 22}"><tspan font-weight="bold">{escape(room)}</tspan> '
            f'<tspan fill="#555">{escape(holds)}</tspan></text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
