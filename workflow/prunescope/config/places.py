"""Whether what the configuration names is a folder, files, or an id on the hub, and what to write where it is not."""

import re
from pathlib import Path

from prunescope.config.sections.sources import TEXT_FILES, matching, matching_files
from prunescope.files import is_folder

HUB = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?:datasets/)?([\w.-]+/[\w.-]+).*")


def not_a_hub_id(hub: str, instead: str) -> str | None:
    """Say why something is no id on the hub; None where it can be one. `instead`: what to write for a folder."""
    if address := ADDRESS.fullmatch(hub):
        return f"write the id alone: {address[1]}"
    if hub.startswith(("/", "~", ".")) or (hub and is_folder(Path(hub))):
        return f"is a folder, not an id on the hub: {instead}"
    if not HUB.fullmatch(hub) and not re.fullmatch(r"[\w.-]+", hub):
        return "is not an id on the hub, such as allenai/c4 (owner/name)"
    return None


def if_hub_id(path: str) -> str:
    """Return the advice to write `hub`, if a path that is not there looks like an id on the hub, else nothing."""
    return f"; if it is an id on the hub, write `hub: {path}`" if HUB.fullmatch(path) and path[0] != "." else ""


def no_text_files(pattern: str) -> str:
    """Say why a glob matches no text file, and what to write."""
    said = f"matches no {', '.join(TEXT_FILES)} file"
    if is_folder(Path(pattern)):
        return f"is a folder: name the files in it, such as {Path(pattern) / '**/*.txt'}"
    if others := matching_files(pattern):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"{said}, only {others[0].name}{more}: convert or unpack them first"
    return f"{said} (seen from {Path.cwd()}): correct the pattern{if_hub_id(pattern)}"


def dangling_links(pattern: str) -> list[Path]:
    """Return the links that a glob matches and that lead nowhere."""
    return [match for match in matching(pattern) if match.is_symlink() and not match.exists()]
