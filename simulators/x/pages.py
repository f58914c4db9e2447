"""The pages of the stand-in: one shell, and the script that asks for everything else. Owns: HTML and JavaScript."""

import json
from collections.abc import Mapping

SHELL = """<!doctype html><html lang=en><head><meta charset=utf-8><title>X (simulated)</title>
<meta name=viewport content="width=device-width">
<style>body{{font:15px sans-serif;margin:0 auto;max-width:600px}}article{{border-top:1px solid #ccc;padding:12px;
min-height:110px}}#error{{color:#b00}}</style></head>
<body><div id=react-root><header id=head></header><main id=list></main><p id=error></p></div>
<script src="/assets/main.{epoch}.js"></script></body></html>"""

LOGIN = """<!doctype html><html lang=en><head><meta charset=utf-8><title>Log in to X (simulated)</title></head>
<body><h1>Happening now</h1><form><input name=text autocomplete=username><button>Next</button></form></body></html>"""

BLOCK = """<!doctype html><html lang=en><head><title>Attention Required!</title></head>
<body><h1>Sorry, you have been blocked</h1><p>You are unable to access this site.</p></body></html>"""

_SCRIPT = """'use strict';
const QUERIES = %(queries)s;
const FEATURES = {responsive_web_graphql_timeline_navigation_enabled: true, view_counts_everywhere_api_enabled: true};
const jar = Object.fromEntries(document.cookie.split('; ').map(pair => pair.split('=')));
const byId = id => document.getElementById(id);

async function ask(operation, variables) {
  const query = new URLSearchParams({variables: JSON.stringify(variables), features: JSON.stringify(FEATURES)});
  const response = await fetch(`/i/api/graphql/${QUERIES[operation]}/${operation}?${query}`, {headers: {
    authorization: 'Bearer simulated', 'x-csrf-token': jar.ct0 || '', 'x-twitter-active-user': 'yes'}});
  if (!response.ok) throw new Error(response.status === 429 ? 'Rate limit exceeded' : `HTTP ${response.status}`);
  return response.json();
}

function instructionsOf(answer) {
  const user = answer.data.user && answer.data.user.result;
  const found = user ? (user.timeline || user.timeline_v2) : answer.data.search_by_raw_query.search_timeline;
  return found.timeline.instructions;
}

function show(text) {
  const article = document.createElement('article');
  article.textContent = text;
  byId('list').append(article);
}

function render(entry) {
  const content = entry.content || {};
  if (content.cursorType) return content.cursorType === 'Bottom' ? content.value : null;
  for (const item of content.items ? content.items.map(one => one.item) : [content]) {
    const {tweet_results: tweet, user_results: user} = item.itemContent || {};
    const result = (tweet || user || {}).result || {};
    show(tweet ? ((result.tweet || result).legacy || {full_text: 'unavailable'}).full_text : `user ${result.rest_id}`);
  }
  return null;
}

class Timeline {
  constructor(operation, variables) {
    Object.assign(this, {operation, variables, cursor: undefined, loading: false, over: false});
    addEventListener('scroll', () => this.nearEnd() && this.more());
  }
  nearEnd() { return innerHeight + scrollY > document.documentElement.scrollHeight - 600; }
  async more() {
    if (this.loading || this.over) return;
    this.loading = true;
    try {
      const variables = {...this.variables, count: 20, ...(this.cursor && {cursor: this.cursor})};
      const answer = await ask(this.operation, variables);
      let next = null;
      for (const instruction of instructionsOf(answer)) {
        if (instruction.type === 'TimelineTerminateTimeline' && instruction.direction === 'Bottom') this.over = true;
        for (const entry of [...(instruction.entries || []), ...(instruction.entry ? [instruction.entry] : [])])
          next = render(entry) || next;
      }
      if (next === null) this.over = true;
      this.cursor = next;
      if (this.nearEnd()) setTimeout(() => this.more(), 150);
      byId('error').textContent = '';
    } catch (problem) {
      byId('error').textContent = `Something went wrong. Try reloading. (${problem.message})`;
    } finally {
      this.loading = false;
    }
  }
}

async function begin() {
  const [first, second] = location.pathname.split('/').slice(1);
  if (first === 'search') {
    const rawQuery = new URLSearchParams(location.search).get('q') || '';
    return new Timeline('SearchTimeline', {rawQuery, querySource: 'typed_query', product: 'Latest'}).more();
  }
  const profile = await ask('UserByScreenName', {screen_name: first});
  const user = profile.data.user && profile.data.user.result;
  byId('head').textContent = user && user.rest_id ? `user ${user.rest_id}` : 'This account does not exist';
  if (!user || !user.rest_id) return;
  const privacy = (user.privacy || user.legacy || {}).protected;
  if (privacy) { byId('head').textContent += ' These posts are protected'; return; }
  const operation = {with_replies: 'UserTweetsAndReplies', followers: 'Followers', following: 'Following'}[second]
    || 'UserTweets';
  return new Timeline(operation, {userId: user.rest_id, includePromotedContent: true}).more();
}
begin().catch(problem => { byId('error').textContent = `Something went wrong. (${problem.message})`; });
"""


def shell(epoch: int) -> str:
    """The page of every address."""
    return SHELL.format(epoch=epoch)


def script(queries: Mapping[str, str]) -> str:
    """The application, with the query ids that hold now."""
    return _SCRIPT % {"queries": json.dumps(dict(queries))}
