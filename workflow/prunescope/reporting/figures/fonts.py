"""A font for the language of a plot: Chinese needs one that has its characters."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import font_manager, rc_context

from prunescope.diagnosis.words import ENGLISH, Language

log = logging.getLogger(__name__)

LATIN = "DejaVu Sans"
# Beginnings of family names, in order of preference; with variants such as "Noto Sans CJK SC".
FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK",
    "Noto Sans SC",
    "Source Han Sans",
    "WenQuanYi",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "PingFang",
    "Hiragino Sans GB",
    "Heiti",
    "SimSun",
)
# Beginnings of file names of the same fonts, lower case, for those that matplotlib's list lacks.
FILES = ("notosanscjk", "notosanssc", "sourcehansans", "wqy", "droidsansfallback", "msyh", "simhei", "simsun")


@contextmanager
def drawn_in(language: Language) -> Iterator[Language]:
    """Yield the language that labels can be drawn in, with its font set until the block ends.

    That is `language` itself or, where it needs a font that is not there, English: a log line says so. An SVG holds
    English as text, which can be searched and which any sans-serif font shows, and Chinese as outlines.
    """
    font = find_font() if language.cjk else "sans-serif"
    if font is None:
        log.warning(
            "no font with Chinese characters was found, so the labels of the plot are in English; "
            "install one (such as the package fonts-noto-cjk) for Chinese ones"
        )
        language, font = ENGLISH, "sans-serif"
    settings = {
        # A glyph that the first family lacks is taken from the next.
        "font.family": [LATIN, font],
        "svg.fonttype": "path" if language.cjk else "none",
        # Makes the names inside an SVG the same each time.
        "svg.hashsalt": "prunescope",
    }
    # Matplotlib tells for every size that a font has no regular weight.
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with rc_context(settings):
            yield language
    finally:
        logger.setLevel(level)


def find_font() -> str | None:
    """Return the family name of an installed font with Chinese characters, or None."""
    found = _listed()
    if found is None:
        # Matplotlib keeps its list in a cache, which does not know a font installed since.
        for path in map(Path, font_manager.findSystemFonts()):
            if path.name.lower().startswith(FILES):
                font_manager.fontManager.addfont(path)
        found = _listed()
    return found


def _listed() -> str | None:
    names = sorted({font.name for font in font_manager.fontManager.ttflist})
    return next((name for family in FAMILIES for name in names if name.startswith(family)), None)
