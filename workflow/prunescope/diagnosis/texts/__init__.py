"""The languages of the report and of the plots."""

from prunescope.diagnosis.texts.chinese import CHINESE
from prunescope.diagnosis.texts.english import ENGLISH
from prunescope.diagnosis.wording import Language

__all__ = ["CHINESE", "ENGLISH", "LANGUAGES"]

LANGUAGES: dict[str, Language] = {language.code: language for language in (ENGLISH, CHINESE)}
