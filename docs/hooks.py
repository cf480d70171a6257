"""Pages that are no Markdown in docs/, put into the site: files elsewhere in the repository, and notebooks."""

import json
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
ROOT = Path(__file__).parents[1]
NOTEBOOKS = {
    f"docs/{file.relative_to(ROOT / 'docs')}": f"notebooks/{file.stem}.md"
    for file in ROOT.glob("docs/notebooks/*.ipynb")
}
ORIGINS = {page: origin for origin, page in (PAGES | NOTEBOOKS).items()}
RELATIVE_LINK = re.compile(r"\]\((?!\w+:|[#/])([^)#\s]+)(#[^)\s]*)?\)")

STYLE = re.compile(r"<style scoped>.*?</style>\n?", re.DOTALL)
"""What pandas puts before its tables."""

log = get_plugin_logger("outside")


def on_files(files, config):
    """Add the pages to those of docs/."""
    for origin, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / origin)))
    for origin, page in NOTEBOOKS.items():
        files.append(File.generated(config, page, content=notebook_page(json.loads((ROOT / origin).read_text()))))
    return files


def notebook_page(notebook):
    """Return a notebook as Markdown: its cells, and under each the outputs that are kept in it."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += [output_part(output) for output in cell.get("outputs", [])]
    return "\n\n".join(part for part in parts if part) + "\n"


def output_part(output):
    """Return an output in the best form it has: a picture, a table as HTML, or text."""
    data = {"text/plain": output.get("text", "")} | output.get("data", {})
    image, table, text = ("".join(data.get(kind, "")) for kind in ("image/png", "text/html", "text/plain"))
    if image:
        return f'<img alt="Output of the cell above" src="data:image/png;base64,{image.strip()}">'
    return STYLE.sub("", table).replace("\n\n", "\n") if table else f"```text\n{text.rstrip()}\n```"


def on_page_markdown(markdown, page, **_):
    """Turn links between files of the repository into links between pages."""
    origin = ORIGINS.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def link(found: re.Match) -> str:
        target, anchor = found.groups(default="")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        if not (ROOT / path).exists():
            log.warning("%s links to %s, which is not in the repository", origin, target)
        uri = (PAGES | NOTEBOOKS).get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    return RELATIVE_LINK.sub(link, markdown)


def on_serve(server, **_):
    """Watch them too."""
    for origin in PAGES | NOTEBOOKS:
        server.watch(str(ROOT / origin))
    return server
