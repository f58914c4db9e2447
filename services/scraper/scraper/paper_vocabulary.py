"""Words that mean something in titles, names and markup. Pure data: owns the lists, and not what they are for."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Of titles: their presence or absence makes no other paper.
FILLERS = _words("a an the of in on for and to with by from at as into its is are")
# What is said of the form in which a paper was given, in brackets or before a colon.
FORMS = _words("""
    abstract extended panel panels session tutorial invited talk paper demo demonstration description poster keynote
    speech address industrial plenary short full version research preprint preliminary position student lecture report
""")
# After these a single letter is a number: "Part A", "Type I".
COUNTED = _words("part parts pt volume vol chapter section book phase type class case paper lecture round stage")
# A tail that begins with one of these is no subtitle: it is said of another paper.
MARKERS = _words("""
    erratum errata corrigendum corrigenda correction corrections corrected addendum addenda retraction retracted
    withdrawn withdrawal comment comments commentary reply response rejoinder discussion supplement supplementary
    appendix data preface foreword introduction review
""")
# A title that has none but these is the heading of a column, and many papers have it.
HEADINGS = _words("""
    editorial editor editors note notes message chair chairs guest preface foreword introduction issue special letter
    letters column news report reports review reviews book books announcement announcements calendar obituary memoriam
    index contents table front matter reply response treasurer president corner welcome about author authors call paper
    acknowledgment acknowledgments reviewer reviewers referee referees list correction erratum errata corrigendum
""")
# Numerals, in the order of their values from 0 on.
CARDINALS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
ORDINALS = """
    zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
"""
# British and American words by turns, of which no rule makes the one out of the other.
IRREGULAR = """
    cheque check draught draft storey story storeys stories yoghurt yogurt cosy cozy disc disk kerb curb
    pyjamas pajamas moustache mustache jewellery jewelry whisky whiskey programme program
"""
# Words that differ in one of these are other words, known or not.
PREFIXES = _words("""
    allo ana aniso ante anti auto bi bio contra counter cross dis down dys ecto endo epi exo extra hemi hetero homo
    hyper hypo infra inter intra intro iso macro mega meso meta micro mid milli mis mono multi nano neo non omni ortho
    out over para per peri pico poly post pre pro pseudo quasi retro self semi sub super supra syn tele tetra trans tri
    ultra un under uni
""")
# Of family names, which are compared without them.
PARTICLES = _words("""
    van von der den de la le du di da dos das do del della degli dalla el al bin ibn ter ten te zu zur zum af av of y e
    san saint st
""")
# Before or behind a name, and no part of it.
SUFFIXES = _words("jr sr junior senior ii iii iv phd md msc dr prof professor sir eds ed")
# Elements of JATS and HTML that begin a block: a blank stands for them.
BLOCKS = _words("""
    abstract p sec title subtitle label list list-item def-list def-item disp-formula disp-formula-group disp-quote br
    break div li ul ol table thead tbody tr td th h1 h2 h3 h4 h5 h6 fig caption boxed-text statement
""")
# Elements within a line, which add no blank.
INLINE = _words("""
    i b u em strong italic bold sub sup inf scp sc sans-serif monospace roman underline overline strike tt span font
    small big a ext-link xref inline-formula inline-graphic alternatives tex-math named-content styled-content math q
    code
""")
