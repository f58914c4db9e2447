"""Measures Trawl beside the systems that people would otherwise pick. Not part of what is installed."""
