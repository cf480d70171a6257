"""Imports what steps need, in the process that forks are made of."""

from warm.server import import_all

import_all()
