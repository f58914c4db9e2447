"""The pipeline tasks' contract, port 8000."""
