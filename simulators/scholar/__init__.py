"""Stand-ins of Semantic Scholar, arXiv, OpenAlex and Crossref, over one generated corpus."""
