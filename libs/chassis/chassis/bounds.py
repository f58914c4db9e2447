"""Bounds that several parts keep, whatever they are. Must import nothing."""

# Longer addresses are refused, and hardly any server takes them.
MAX_URL_CHARACTERS = 8192
