"""What people have on their disks: cases by kind, and what the pipeline makes of each.

``PYTHONPATH=tests:workflow python -m inputs.table`` runs them all and writes `docs/inputs.md`.
"""
