"""Telling the outside what happened: webhooks, as the Standard Webhooks convention has them."""
