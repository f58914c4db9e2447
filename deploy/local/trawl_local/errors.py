"""What the command line tells a person in one sentence. Must not know what it is about."""


class Refusal(Exception):
    """The command can't go on. The message is one sentence: what is wrong and what to do about it."""
