"""The gateway: authenticates, validates, translates and streams. It holds no business rule and no task or run."""
