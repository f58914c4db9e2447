"""The task management contract, port 8083."""
