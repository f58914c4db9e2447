"""How the sample shop looks: HTML from its wares. Must not know requests, or which wares there are."""

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trawl_local.shop import Lamp

_STYLE = """
*{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;color:#2b2620;background:#faf7f2}
header{display:flex;gap:2rem;align-items:center;padding:1rem 2rem;background:#2b2620}header b{font-size:1.2rem}
header,header a{color:#faf7f2;text-decoration:none}nav{display:flex;gap:1.2rem}
main{max-width:64rem;margin:2rem auto;padding:0 1.5rem}h1{font-size:1.7rem;margin:0 0 1rem}
ul.grid{list-style:none;margin:0;padding:0;display:grid;gap:1rem;
grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}
.card{background:#fff;border:1px solid #e6ddd0;border-radius:12px;padding:1rem;
display:flex;flex-direction:column;gap:.4rem}
.shade{height:7rem;border-radius:8px;background:radial-gradient(circle at 50% 20%,#fff3c4,#e2b65b 60%,#8a6a2f)}
.card a{color:inherit;font-weight:600;text-decoration:none}.price{font-size:1.1rem}del{color:#9a8f80}
.tag{display:inline-block;font-size:.8rem;background:#f1e7d6;border-radius:99px;padding:0 .6rem;margin-right:.3rem}
.pages{display:flex;justify-content:space-between;margin-top:1.5rem}button,.next,.previous{border:0;border-radius:8px;
background:#8a6a2f;color:#fff;padding:.5rem 1rem;text-decoration:none;font:inherit}input{font:inherit;padding:.5rem;
border:1px solid #cbbfae;border-radius:8px}form.stack{display:grid;gap:.8rem;max-width:20rem}.error{color:#a32020}
"""


def _page(title: str, body: str, *, head: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – Lampshop</title><style>{_STYLE}</style>{head}</head><body>"
        '<header><b><a href="/">Lampshop</a></b><nav><a href="/lamps">Lamps</a><a href="/deals">Deals</a>'
        '<a href="/search">Search</a><a href="/login">Sign in</a></nav></header>'
        f"<main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _price(euros: float) -> str:
    return f"€{euros:,.2f}"


def _card(lamp: "Lamp") -> str:
    tags = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in lamp.tags)
    return (
        f'<li class="item card"><div class="shade"></div><a href="/lamps/{escape(lamp.slug)}">'
        f'<span class="name">{escape(lamp.name)}</span></a>'
        f'<span class="price">{_price(lamp.price)}</span><div>{tags}</div></li>'
    )


def home(lamps: Sequence["Lamp"]) -> str:
    """The front page."""
    return _page("Light for every room", f'<ul class="grid">{"".join(map(_card, lamps))}</ul>')


def lamp_list(lamps: Sequence["Lamp"], number: int, last: int) -> str:
    """One list page; all but the last have `a.next`."""
    previous = (
        f'<a class="previous" rel="prev" href="/lamps?page={number - 1}">Previous</a>' if number > 1 else "<i></i>"
    )
    following = f'<a class="next" rel="next" href="/lamps?page={number + 1}">Next</a>' if number < last else "<i></i>"
    return _page(
        f"Lamps, page {number} of {last}",
        f'<ul class="grid">{"".join(map(_card, lamps))}</ul><div class="pages">{previous}{following}</div>',
    )


def detail(lamp: "Lamp") -> str:
    """A lamp's own page, with the same facts as JSON-LD."""
    facts = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": lamp.name,
        "sku": lamp.sku,
        "description": lamp.description,
        "offers": {
            "@type": "Offer",
            "priceCurrency": "EUR",
            "price": f"{lamp.price:.2f}",
            "availability": f"https://schema.org/{'InStock' if lamp.stock else 'OutOfStock'}",
        },
    }
    stock = f"{lamp.stock} in stock" if lamp.stock else "sold out"
    return _page(
        lamp.name,
        '<article class="card" itemscope itemtype="https://schema.org/Product"><div class="shade"></div>'
        f'<p id="desc">{escape(lamp.description)}</p>'
        f'<p>Article <span itemprop="sku">{escape(lamp.sku)}</span> · <span class="watts">{lamp.watts} W</span></p>'
        f'<p class="price">{_price(lamp.price)}</p><p class="stock">{stock}</p></article>',
        head=f'<script type="application/ld+json">{_in_script(facts)}</script>',
    )


def _in_script(value: Any) -> str:
    # "<" could end the script element.
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def card(lamp: "Lamp", price: float) -> dict[str, Any]:
    """A lamp as the scripts get it."""
    return {
        "sku": lamp.sku,
        "name": lamp.name,
        "url": f"/lamps/{lamp.slug}",
        "price": _price(price),
        "was": _price(lamp.price),
        "tags": list(lamp.tags),
    }


_SCRIPT = """
const list = document.querySelector('#results');
function show(items) {
  list.replaceChildren(...items.map(item => {
    const row = document.createElement('li');
    row.className = 'deal card';
    row.dataset.sku = item.sku;
    const link = Object.assign(document.createElement('a'), {href: item.url});
    link.append(Object.assign(document.createElement('span'), {className: 'name', textContent: item.name}));
    const price = Object.assign(document.createElement('span'), {className: 'price', textContent: item.price});
    row.append(link, price);
    if (item.was !== item.price)
      row.append(Object.assign(document.createElement('del'), {className: 'was', textContent: item.was}));
    return row;
  }));
  document.body.dataset.loaded = items.length;
}
async function load(address) { show((await (await fetch(address)).json()).items); }
"""


def scripted(title: str, source: str) -> str:
    """A page whose items appear by script only, a moment after it has loaded."""
    return _page(
        title,
        '<noscript>This page needs JavaScript.</noscript><ul id="results" class="grid"></ul>'
        f"<script>{_SCRIPT}setTimeout(() => load({json.dumps(source)}), 150);</script>",
    )


def search(words: str) -> str:
    """The search page; results come by script, while one types as well."""
    return _page(
        "Search",
        '<form action="/search"><input id="q" name="q" placeholder="brass office" autocomplete="off" '
        f'value="{escape(words)}"> <button id="go">Search</button></form><ul id="results" class="grid"></ul>'
        f"<script>{_SCRIPT}const box = document.querySelector('#q');"
        "const ask = () => load('/api/search?q=' + encodeURIComponent(box.value));"
        "box.addEventListener('input', ask); if (box.value) ask();</script>",
    )


def login(*, failed: bool) -> str:
    """The form."""
    error = '<p class="error">That is not right.</p>' if failed else ""
    return _page(
        "Sign in",
        f'{error}<form class="stack" method="post" action="/login"><input name="username" placeholder="Name" required>'
        '<input name="password" type="password" placeholder="Password" required><button>Sign in</button></form>',
    )


def account() -> str:
    """What signed-in visitors see."""
    return _page("Your account", '<p class="welcome">Welcome back, visitor.</p>')


def message(title: str, text: str) -> str:
    """A page that says one thing."""
    return _page(title, f"<p>{escape(text)}</p>")


def sitemap(origin: str, paths: Sequence[str]) -> str:
    """sitemap.xml."""
    rows = "".join(f"<url><loc>{escape(origin + path)}</loc></url>" for path in paths)
    return f'<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'
