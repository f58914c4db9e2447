"""What DOIs say of one another. Pure: owns which prefixes are no publisher's, and what a version is.

A publisher gives a paper one DOI. Preprint servers and repositories give one to each version, and to papers that have
another one elsewhere: theirs say nothing.
"""

import re

# Prefix, and for prefixes with publications of their own what the name of a preprint begins with.
_SERVERS = {
    "10.48550": "", "10.64898": "", "10.2139": "", "10.26434": "", "10.36227": "", "10.21203": "", "10.20944": "",
    "10.22541": "", "10.31219": "", "10.31234": "", "10.31235": "", "10.31223": "", "10.31224": "", "10.31222": "",
    "10.31228": "", "10.31229": "", "10.31230": "", "10.31231": "", "10.31232": "", "10.31233": "", "10.31236": "",
    "10.31237": "", "10.31220": "", "10.31221": "", "10.31225": "", "10.31226": "", "10.31227": "", "10.31730": "",
    "10.33767": "", "10.34055": "", "10.35542": "", "10.35543": "", "10.51094": "", "10.12074": "", "10.32388": "",
    "10.33774": "", "10.31124": "", "10.7287": "", "10.3386": "", "10.13140": "", "10.5281": "", "10.6084": "",
    "10.26124": "", "10.1590": "scielopreprints", "10.1002": "essoar", "10.2196": "preprints",
    "10.14293": "s2199-1006.1.sor-pp", "10.5194": "egusphere",
}  # fmt: skip
# bioRxiv and medRxiv share their old prefix with journals.
_BIORXIV = re.compile(r"10\.1101/(?:\d{4}\.\d{2}\.\d{2}\.)?\d{6,}(?:v\d+)?$")
_VERSION = re.compile(r"[./]v\d+$|(?<=^10\.1101/)([\d.]+)v\d+$")
# These publishers count the versions of one article.
_NUMBERED = re.compile(r"(10\.(?:12688|7554)/[a-z]+\.\d+)\.\d+$")


def is_preprint(doi: str) -> bool:
    """Whether it is a preprint server's or a repository's."""
    prefix, _, name = doi.partition("/")
    begins = _SERVERS.get(prefix)
    if begins is not None and name.startswith(begins):
        return True
    return "/osf.io/" in doi or "-discuss" in name or bool(_BIORXIV.match(doi))


def without_version(doi: str) -> str:
    """The DOI that its versions have in common."""
    return _NUMBERED.sub(r"\1", _VERSION.sub(r"\1", doi))
