"""How texts are kept: white space collapsed, nothing cut. Must not know documents."""


def clean(text: str) -> str:
    """The text with its white space collapsed."""
    return " ".join(text.split())
