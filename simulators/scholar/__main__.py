"""`python -m simulators.scholar`, or `trawl simulate scholar`."""

from typing import Annotated

import typer
from aiohttp import web

from simulators.scholar.app import Scholar
from simulators.scholar.corpus import make_corpus


def main(
    port: Annotated[int, typer.Option(help="Where to listen, on 127.0.0.1.")] = 8900,
    works: Annotated[int, typer.Option(help="How many works the corpus has.", min=1, max=200_000)] = 120,
    seed: Annotated[int, typer.Option(help="The same seed makes the same corpus.")] = 7,
    pace: Annotated[float, typer.Option(help="Multiplies the real services' intervals; 0 = no limits.", min=0)] = 1.0,
) -> None:
    """Stand in for Semantic Scholar, arXiv, OpenAlex and Crossref, with PDFs."""
    base = f"http://127.0.0.1:{port}"
    print(
        f"SEMANTIC_SCHOLAR_BASE_URL={base} ARXIV_BASE_URL={base}\n"
        f"OPENALEX_BASE_URL={base}/openalex CROSSREF_BASE_URL={base}/crossref",
        flush=True,
    )
    app = Scholar(make_corpus(seed, works), pace=pace).app()
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    typer.run(main)
