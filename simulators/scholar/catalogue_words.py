"""What the titles, names and venues of the catalogues are made of. Pure data."""

# (title, whether guests write it): what comes again and again.
COLUMNS = (
    ("Editor's Notes", False), ("Chair's Message", False), ("Reminiscences on Influential Papers", True),
    ("Interviews with People of the Field", True), ("Guest Editorial", True), ("Research Centers in Review", True),
)  # fmt: skip
# (in the first catalogue, in the second one)
VENUES = (
    ("DATAMAN Conference", "International Conference on Management of Large Stores"),
    ("ILDS", "Indexing Large Data Sets"),
    ("DATAMAN Record", "ACM DATAMAN Record"),
    ("Trans. Store Syst.", "ACM Transactions on Storage and Query Systems (TSQS)"),
    ("ILDS J.", "The ILDS Journal — The International Journal on Indexing Large Data Sets"),
)
CONFERENCES, NEWSLETTER, JOURNALS = (0, 0, 1, 1, 2), 2, (3, 4)
METHODS = (
    "Query Optimization", "Concurrency Control", "View Maintenance", "Cost Model", "Index Structure",
    "Join Algorithm", "Recovery Protocol", "Access Method", "Buffer Management", "Load Balancing",
    "Clustering Algorithm", "Data Model", "Rule Language", "Schema Integration", "Sampling Method",
    "Cache Consistency", "Algebra", "Benchmark", "Architecture",
)  # fmt: skip
THINGS = (
    "Materialized Views", "Spatial Joins", "Temporal Databases", "Object-Oriented Databases", "Association Rules",
    "Semistructured Data", "Data Warehouses", "XML Documents", "Moving Objects", "Time Series", "Long Transactions",
    "Top-k Queries", "Recursive Queries", "Nearest Neighbors", "High-Dimensional Data", "Data Streams",
    "Web Sources", "Active Rules", "Similarity Search", "Range Queries", "Multidimensional Arrays",
    "Nested Relations", "Sequences", "Workflows", "Digital Libraries", "Image Databases", "Sensor Readings",
    "Integrity Constraints", "Text Collections",
)  # fmt: skip
PLACES = (
    "Distributed Systems", "Main Memory", "Parallel Machines", "Mobile Environments", "Client-Server Architectures",
    "Heterogeneous Sources", "Federated Systems", "Deductive Databases", "Real-Time Systems", "Large Networks",
    "Practice",
)  # fmt: skip
QUALITIES = (
    "Efficient", "Scalable", "Adaptive", "Optimistic", "Incremental", "Dynamic", "Cost-Based", "Semantic",
    "Approximate", "Parallel", "Robust", "Declarative", "Self-Tuning", "Probabilistic", "Synchronous", "Static",
    "Lossless", "Local",
)  # fmt: skip
VERBS = (
    "Mining", "Indexing", "Querying", "Maintaining", "Integrating", "Modeling", "Optimizing", "Storing", "Ranking",
    "Estimating", "Clustering", "Translating", "Caching", "Replicating",
)  # fmt: skip
SUBTITLES = (
    "A Survey", "A Performance Study", "Theory and Practice", "Problems and Solutions", "An Algebraic Approach",
    "Experiences and Lessons", "The Case for Simplicity", "A Retrospective", "Concepts and Algorithms",
)  # fmt: skip
SYLLABLES = (
    "Gar", "Lor", "Tuk", "Mir", "Zeb", "Qua", "Pel", "Dis", "Rum", "Sto", "Vel", "Nim", "Ora", "Cob", "Fal", "Hex",
)  # fmt: skip
# One word in place of the other makes another paper.
OPPOSITES = (
    ("Optimistic", "Pessimistic"), ("Static", "Dynamic"), ("Synchronous", "Asynchronous"), ("Lossless", "Lossy"),
    ("Spatial", "Temporal"), ("Local", "Global"), ("Deductive", "Inductive"), ("Parallel", "Serial"),
    ("Mining", "Mixing"), ("Storing", "Sorting"), ("Caching", "Catching"), ("Exact", "Approximate"),
    ("Centralized", "Decentralized"), ("Homogeneous", "Heterogeneous"), ("Nested", "Tested"), ("Range", "Rank"),
    ("Long", "Short"), ("Ranking", "Banking"), ("Rule", "Role"), ("Integrating", "Interrogating"),
)  # fmt: skip
GIVEN = (
    "Jennifer", "Michael", "Wei", "Hector", "Raghu", "Christos", "Elisa", "Gerhard", "Timos", "Surajit", "Rakesh",
    "Laura", "David", "Jim", "Yannis", "Serge", "Gösta", "Hans-Peter", "Alberto", "Meral", "Kyuseok", "Beng",
    "Divyakant", "Stefano", "Jiawei", "Bob", "William", "Thomas", "Anthony", "Renée", "Zoltán", "Inderpal",
    "Patrick", "Daniela", "Guy", "Ming",
)  # fmt: skip
FAMILY = (
    "Widmark", "Stonefield", "Wang", "Chen", "Garcia-Moreno", "Ramanathan", "Faloukos", "Bertolino", "Weikert",
    "Sellas", "Chaudhary", "Agarwal", "Haasen", "DeWinter", "Grey", "Ioannou", "Abitoul", "Kriegler", "Mendelson",
    "Özsoy", "Shin", "Ooi", "Agrawala", "Ceri", "Han", "Lee", "Lim", "Li", "Zhang", "Mohanty", "Naughty", "Carey",
    "Ullmann", "Vossberg", "van Gucht", "de Wolf", "Al-Hassan", "Müller", "Jørgensen", "Novák", "Kim", "Park",
    "Tan", "Roussos", "Franklyn",
)  # fmt: skip
SHORT = {"Michael": "Mike", "Jennifer": "Jenny", "David": "Dave", "Thomas": "Tom", "Patrick": "Pat", "William": "Bill"}
# As those write who have no accents.
PLAIN = str.maketrans("öéáøüÖ", "oeaouO")
# Neighbours on the keyboard.
KEYS = {
    "a": "sqz", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "k": "jl",
    "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb",
    "w": "qe", "y": "tu",
}  # fmt: skip
