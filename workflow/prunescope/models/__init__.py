"""Models: where they come from, and where their prunable groups are.

Nothing outside this package knows a module name such as ``q_proj``.
"""
