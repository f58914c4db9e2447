"""What stops a benchmark. Owns the one error whose text is meant for people."""


class BenchmarkError(Exception):
    """Something is missing, did not start in time, or gave a result that may not be believed; the text says which."""
