"""Stand-ins for the services behind the gateway, and the gateway itself in a test's loop."""
