"""What the tests of X share: the stand-in beside the tests, accounts in real stores, and runs of the real executor."""
