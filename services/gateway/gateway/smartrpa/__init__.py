"""The SmartRPA background service's contract, port 8082."""
