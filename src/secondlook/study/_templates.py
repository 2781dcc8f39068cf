"""What `study.md` and `study.html` look like (Jinja)."""

from __future__ import annotations

MARKDOWN = """\
# {{ study.title }}

{{ study.source.document }}, table {{ study.source.table }}. {{ study.protocol }}

{{ scale }}
{% for s in sections %}

## {{ s.name }}

{{ s.about }}.{% if s.left_out %} {{ s.left_out }} videos could not be used.{% endif %}


{{ s.head | bar }}
{{ (["---"] * s.head | length) | bar }}
{% for row in s.rows %}
{{ row | bar }}
{% endfor %}

Intervals: 95 %, over test videos (whole groups) and seeds, 2000 resamples. McNemar's test is pooled over
seeds (exact below 25 videos that differ, else chi-squared with Edwards' correction); where seeds agree its p-value is
too small.
{% if s.splits %}

{{ s.splits.head | bar }}
{{ (["---"] * s.splits.head | length) | bar }}
{% for row in s.splits.rows %}
{{ row | bar }}
{% endfor %}
{% endif %}
{% if s.claims %}

| claim | | rows | difference in points, 95 % | here |
|---|---|---|---|---|
{% for row in s.claims %}
{{ row | bar }}
{% endfor %}
{% endif %}
{% for chart in s.charts %}

![{{ chart.caption }}](charts/{{ chart.name }}.png)
{% endfor %}
{% endfor %}

## As printed

{{ printed.columns | bar }}
{{ (["---"] * printed.columns | length) | bar }}
{% for row in printed.rows %}
{{ row | bar }}
{% endfor %}

`*`: another work's published number, never run.
{% for text in study.hypotheses %}
- concluded there: {{ text }}
{% endfor %}
{% for text in study.errata %}
- erratum: {{ text }}
{% endfor %}
{% for row in study.rows if row.note %}
- {{ row.title }}: {{ row.note }}
{% endfor %}
{% if failed %}

## Not run, or failed

| row | status | reason | times |
|---|---|---|---|
{% for f in failed %}
{{ [f.row, f.status, f.reason, f.count] | bar }}
{% endfor %}
{% endif %}

secondlook {{ version }}
"""

HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{{ study.title }}</title>
<style>{{ style }} td, th { white-space: nowrap; } .wrap td { white-space: normal; }</style>
</head>
<body>
<header>
  <p class="brand">secondlook</p>
  <h1>{{ study.title }}</h1>
  <p class="lead">{{ study.source.document }}, table {{ study.source.table }}. {{ scale }}</p>
  <nav aria-label="Sections">
    {% for s in sections %}<a href="#{{ s.name }}">{{ s.name }}</a>{% endfor %}
    <a href="#printed">As printed</a>{% if failed %}<a href="#failed">Not run</a>{% endif %}
  </nav>
</header>
<main>
{% macro table(head, rows, left=1) %}
<div class="scroll"><table>
<thead><tr>{% for h in head %}<th{% if loop.index > left %} class="num"{% endif %}>{{ h }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{{ row[0] }}</th>
{% for c in row[1:] %}<td{% if loop.index >= left %} class="num"{% endif %}>{{ c }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{% macro figure(chart) %}
<figure>{{ chart | svg }}<figcaption><small>{{ chart.caption }}</small></figcaption></figure>
{% endmacro %}
{% for s in sections %}
<section id="{{ s.name }}">
  <h2>{{ s.name }}</h2>
  <p>{{ s.about }}.
  {% if s.left_out %}{{ s.left_out }} videos could not be used.{% endif %}
  {% if s.baseline %}Baseline: {{ s.baseline }}.{% endif %}</p>
  {{ table(s.head, s.rows) }}
  <p><small>Intervals: 95 %, over test videos (whole groups) and seeds, 2000 resamples. McNemar's test is pooled over
  seeds (exact below 25 videos that differ, else chi-squared with Edwards' correction); where seeds agree its p-value
  is too small.</small></p>
  {% if s.splits %}<h3>Splits</h3>{{ table(s.splits.head, s.splits.rows) }}{% endif %}
  {% if s.claims %}
  <h3>What the source concludes, here</h3>
  <div class="wrap">{{ table(["claim", "", "rows", "difference in points, 95 %", "here"], s.claims, 5) }}</div>
  {% endif %}
  {% for chart in s.charts %}{{ figure(chart) }}{% endfor %}
</section>
{% endfor %}
<section id="printed">
  <h2>As printed</h2>
  <p>{{ study.protocol }}</p>
  {{ table(printed.columns, printed.rows) }}
  <p><small>*: another work's published number, never run.</small></p>
  {% if printed_chart %}{{ figure(printed_chart) }}{% endif %}
  <ul>
  {% for text in study.hypotheses %}<li>concluded there: {{ text }}</li>{% endfor %}
  {% for text in study.errata %}<li>erratum: {{ text }}</li>{% endfor %}
  {% for row in study.rows if row.note %}<li>{{ row.title }}: {{ row.note }}</li>{% endfor %}
  </ul>
</section>
{% if failed %}
<section id="failed"><h2>Not run, or failed</h2>
<div class="wrap"><table>
<thead><tr><th>row</th><th>status</th><th>reason</th><th class="num">times</th></tr></thead><tbody>
{% for f in failed %}
<tr><th scope="row">{{ f.row }}</th><td>{{ f.status }}</td><td>{{ f.reason }}</td>
<td class="num">{{ f.count }}</td></tr>
{% endfor %}
</tbody></table></div></section>
{% endif %}
<p><small>secondlook {{ version }}</small></p>
</main>
</body>
</html>
"""
