"""The XGet scraper service's contract, port 8003."""
