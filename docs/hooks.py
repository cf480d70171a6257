"""Pages that live outside docs/, put into the site: they stay where people look for them, and nothing is copied."""

import posixpath
import re
from pathlib import Path

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

PAGES = {
    "README.md": "index.md",
    "config/README.md": "configuration.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Name in the repository -> name in the site."""
ORIGINS = {page: origin for origin, page in PAGES.items()}

ROOT = Path(__file__).parents[1]
RELATIVE_LINK = re.compile(r"\]\((?!\w+:|[#/])([^)#\s]+)(#[^)\s]*)?\)")

log = get_plugin_logger("outside")


def on_files(files, config):
    """Add the pages to those of docs/."""
    for origin, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / origin)))
    return files


def on_page_markdown(markdown, page, **_):
    """Turn links between files of the repository into links between pages."""
    origin = ORIGINS.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def link(found: re.Match) -> str:
        target, anchor = found.groups(default="")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        if not (ROOT / path).exists():
            log.warning("%s links to %s, which is not in the repository", origin, target)
        uri = PAGES.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    return RELATIVE_LINK.sub(link, markdown)


def on_serve(server, **_):
    """Watch them too."""
    for origin in PAGES:
        server.watch(str(ROOT / origin))
    return server
