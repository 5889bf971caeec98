"""A run as one HTML file that needs nothing else: strips, charts and tables, offline, anywhere."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from prefix_engine.record import Run
from ui.charts import Chart, stage_chart, ttft_chart
from ui.ledger import ledger
from ui.strip import static_head, static_strip, strip_payload
from ui.wording import LIMITS, provenance, replies_compared, reply_times, setup, speed, spreads

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "assets"),
    autoescape=True,
    undefined=StrictUndefined,
)


def html_report(run: Run, recorded: bool) -> str:
    """The whole run, self-contained: about 5 MB, nearly all of it Plotly's script."""
    charts = [ttft_chart(run), stage_chart(run)] if run.trials else []
    return _TEMPLATES.get_template("report.html").render(
        run=run,
        provenance=provenance(run, recorded),
        # made by us from data, with everything of a prompt escaped
        strip_head=Markup(static_head()),
        strip=Markup(static_strip(strip_payload(run.comparison))),
        ledger=_table(ledger(run)),
        charts=[_chart(chart, first=at == 0) for at, chart in enumerate(charts)],
        speed=speed(run) if run.trials else "",
        spreads=spreads(run),
        reply_times=reply_times,
        setup=setup(run),
        limits=LIMITS,
        replies_compared=replies_compared(run),
    )


def _chart(chart: Chart, first: bool) -> dict[str, str]:
    figure = chart.figure.to_html(
        full_html=False,
        include_plotlyjs=first,
        config={"displayModeBar": False},
        default_height="260px",
    )
    return {"alt": chart.alt, "figure": Markup(figure), "table": _table(chart.table)}


def _table(table: pd.DataFrame) -> Markup:
    return Markup(table.to_html(border=0, escape=True))
