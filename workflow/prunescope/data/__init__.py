"""Text for calibration and evaluation: from a hub, from local files, or embedded in a PyPI wheel."""
