"""The distributed scheduler's contract, port 8080."""
