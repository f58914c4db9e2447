"""Stand-ins of outside services, for tests and for trying Trawl out. They know nothing of Trawl itself."""
