"""Words that the corpus is made of. Owns: the lists, and made-up terms that are as rare as technical terms are."""

from random import Random

METHODS = (
    "graph neural networks", "diffusion models", "variational inference", "reinforcement learning",
    "contrastive learning", "gradient boosting", "federated learning", "tensor decomposition", "kernel methods",
    "active learning", "transfer learning", "causal inference", "symbolic regression", "optimal transport",
    "model checking", "spectral clustering", "Monte Carlo sampling", "sparse coding", "program synthesis",
    "constraint solving", "attention mechanisms", "ensemble learning", "anomaly detection", "metric learning",
)  # fmt: skip
THINGS = (
    "protein folding", "traffic forecasting", "crop yield estimation", "medical imaging", "speech recognition",
    "power grid control", "satellite imagery", "molecular design", "recommender systems", "fraud detection",
    "robot grasping", "climate downscaling", "code review", "battery ageing", "wildfire spread", "ocean currents",
    "supply chains", "gene regulation", "galaxy morphology", "material fatigue", "river flooding",
    "air quality monitoring", "software testing", "language translation", "glacier melt", "epidemic modelling",
)  # fmt: skip
QUALITIES = (
    "scalable", "robust", "interpretable", "uncertainty-aware", "data-efficient", "privacy-preserving", "adaptive",
    "hierarchical", "multi-scale", "self-supervised", "lightweight", "physics-informed", "distributed", "open",
)  # fmt: skip
OPENINGS = (
    "A study of", "On", "Towards", "Rethinking", "Benchmarking", "An empirical view of", "Lessons from", "Advances in",
    "Revisiting", "A survey of", "Understanding", "The limits of",
)  # fmt: skip
PLACES = (
    "in rural hospitals", "under distribution shift", "with limited labels", "at the edge", "in high dimensions",
    "from noisy sensors", "on commodity hardware", "across languages", "for developing countries", "in real time",
    "with human feedback", "in open worlds",
)  # fmt: skip
GIVEN = (
    "Ada", "Björn", "Chen", "Dilara", "Emeka", "Fatima", "Goran", "Hana", "Ivo", "Jun", "Katarzyna", "Liam", "Mei",
    "Noor", "Oluwaseun", "Priya", "Quentin", "Rosa", "Sven", "Tariq", "Ulla", "Viktor", "Wen", "Yara", "Zoltán",
)  # fmt: skip
# Plain nouns that an eye, and Tesseract, can't mistake.
NOUNS = (
    "copper", "lantern", "meadow", "harbour", "violin", "granite", "orchard", "compass", "thunder", "velvet", "kettle",
    "saddle", "pepper", "mirror", "garden", "candle", "anchor", "barley", "cotton", "donkey", "engine", "feather",
    "goblet", "hammer", "island", "jacket", "ladder", "magnet", "needle", "oyster", "pillow", "quarry", "ribbon",
    "salmon", "temple", "umbrella", "walnut", "zebra", "basket", "canyon", "dragon", "fabric", "glacier", "helmet",
)  # fmt: skip
VENUES = (
    "Journal of Applied Learning", "Annals of Computing", "Proceedings on Modelling", "Letters in Data Science",
    "Transactions on Systems", "Workshop on Open Problems",
)  # fmt: skip
_STARTS = ("bra", "cor", "del", "fen", "gal", "hel", "jor", "kar", "lum", "mor", "nev", "ort", "pra", "quo", "ren",
           "sol", "tav", "ulm", "ver", "wex", "yor", "zan")  # fmt: skip
_MIDDLES = ("a", "e", "i", "o", "u", "ane", "eri", "ilo", "oru", "uma", "anti", "ello", "isto")
_ENDS = ("dex", "fin", "gram", "lith", "mer", "nax", "plex", "ron", "sim", "tor", "ven", "wick", "zyme")


def rare_term(random: Random) -> str:
    """A made-up term, one of some four thousand; a few of them come up far more often than most."""
    number = min(int(random.paretovariate(0.5)), 4_000) + random.randrange(40)
    own = Random(number)  # noqa: S311 - makes a corpus, not a secret
    return (own.choice(_STARTS) + own.choice(_MIDDLES) + own.choice(_ENDS)).capitalize()


def surname(random: Random) -> str:
    """A made-up family name, one of some thousands."""
    name = (
        random.choice(_STARTS)
        + random.choice(_MIDDLES)
        + random.choice(("ski", "sen", "mann", "ov", "ez", "ic", "ard"))
    )
    return name.capitalize()
