"""The configuration files: reading them, and merging what the command line adds."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prunescope.config.patches import Patch, merge
from prunescope.errors import ConfigError
from prunescope.files import note_read

CONFIG_FILE = Path("config/config.yaml")


@dataclass(frozen=True)
class Origin:
    """Which file sets what.

    Attributes:
        files: content by name of the file; later ones win.
    """

    files: dict[str, Patch] = field(default_factory=lambda: {str(CONFIG_FILE): {}})

    def of(self, path: str) -> str:
        """Return the last file that sets a dotted path or, where none does, what it is in; else the first."""
        reach = {name: _reach(content, path) for name, content in self.files.items()}
        last_first = reversed(reach) if any(reach.values()) else iter(reach)
        return max(last_first, key=reach.__getitem__)


def _reach(content: Any, path: str) -> int:
    """Return how much of a dotted path is there, in characters; the name of a model may hold dots itself."""
    if not isinstance(content, dict):
        return 0
    found = [key for key in content if f"{path}.".startswith(f"{key}.")]
    return max((len(key) + 1 + _reach(content[key], path[len(key) + 1 :]) for key in found), default=0)


def read_config_file(path: Path) -> Patch:
    """Read a configuration file, YAML or JSON; an empty one has no sections.

    Raises:
        ConfigError: it is not there, is neither YAML nor JSON, or holds no sections.
    """
    note_read(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no {path} here; run from the project folder or pass --config") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; name the configuration file in it") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text in UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    try:
        content = json.loads(text) if path.suffix == ".json" else _read_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise ConfigError(f"{path} is not valid {kind}: {' '.join(str(error).split())}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path} must hold sections, such as `limits: {{max_rate: 0.5}}`, not {content!r:.40}")
    return content or {}


def load_merged(
    default: Path | None, overwriting: Sequence[Path], overrides: Mapping[str, Any]
) -> tuple[Patch, Origin]:
    """Merge the default configuration, every ``--configfile`` in order, and the ``--config`` overrides; later ones win.

    Sections are merged, lists and values replaced. Snakemake's own merge loses `{}` over null, which switches an
    optional section on with its defaults.

    Args:
        default: the file that the Snakefile names; it may be missing where others are given. None: none is read.

    Raises:
        ConfigError: a file cannot be read.
    """
    files = [default] if default and (default.exists() or not overwriting) else []
    # Snakemake makes their paths absolute.
    contents = {os.path.relpath(file): read_config_file(file) for file in [*files, *overwriting]}
    contents |= {"--config": dict(overrides)} if overrides else {}
    return merge(*contents.values()), Origin(contents or Origin().files)


def _read_yaml(text: str) -> Any:
    if "__use_yte__" not in text:
        return yaml.safe_load(text)
    import yte  # Snakemake's template engine, for files that ask for it

    return yte.process_yaml(text, require_use_yte=True)
