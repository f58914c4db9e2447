"""A stand-in for the AdsPower local API that opens real Chromium profiles, with faults on demand."""
