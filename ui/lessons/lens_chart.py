"""The block lens and the counts of other systems as figures, each with its table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go

from prefix_engine.lessons.engines import Count, Rule, Source, Standing
from prefix_engine.lessons.growth import Growth
from prefix_engine.lessons.lens import Lens
from ui.charts import Chart, legend, text_font
from ui.palette import DIFFERENT, MATCHED_RECOMPUTED, REUSED, StateStyle, Theme

STANDING_MARK = {Standing.OWN: "✔", Standing.THIRD_PARTY: "◐", Standing.UNVERIFIED: "?"}


def lens_chart(lens: Lens, theme: Theme = "light") -> Chart:
    """For each block size: what is reused, what rounding loses, what is computed in any case."""
    sizes = [f"{view.block_size:,}" for view in lens.views]
    reused = [view.reused for view in lens.views]
    lost = [view.lost for view in lens.views]
    rest = [lens.b_tokens - view.reused - view.lost for view in lens.views]
    figure = _bars(sizes, "tokens in a block", theme)
    _add(figure, sizes, reused, "✓ reused", REUSED, theme)
    _add(figure, sizes, lost, "▢ shared, lost to rounding", MATCHED_RECOMPUTED, theme)
    _add(figure, sizes, rest, "• computed in any case", DIFFERENT, theme)
    table = pd.DataFrame(
        {"reused": reused, "lost to rounding": lost, "computed in any case": rest},
        index=pd.Index(sizes, name="tokens in a block"),
    )
    told = "; ".join(f"{view.block_size}: {view.reused} reused" for view in lens.views)
    alt = f"Of {lens.shared:,} shared and {lens.b_tokens:,} tokens, by block size. {told}."
    return Chart(figure, alt, table)


def engines_chart(counts: Sequence[Count], theme: Theme = "light") -> Chart:
    """What each system would reuse and compute of B, by its rule."""
    names = [f"{STANDING_MARK[one.rule.standing]} {one.rule.system}" for one in counts]
    figure = _bars(names, None, theme)
    _add(figure, names, [one.reused for one in counts], "✓ reused", REUSED, theme)
    _add(figure, names, [one.computed for one in counts], "• computed", DIFFERENT, theme)
    _put_names_above(figure, names, theme)
    figure.update_layout(height=110 + 52 * len(names))
    table = pd.DataFrame(
        {
            "reused": [f"{one.reused:,}" for one in counts],
            "computed": [f"{one.computed:,}" for one in counts],
        },
        index=pd.Index(names, name="system"),
    )
    told = "; ".join(f"{one.rule.system}: {one.reused:,}" for one in counts)
    return Chart(figure, f"Tokens of B that each system would reuse, by its rule. {told}.", table)


def rules_in_words(counts: Sequence[Count]) -> str:
    """Each rule with what it supposes, its sources, and who says so, as a Markdown list."""
    return "\n".join(
        f"- **{rule.system}** {STANDING_MARK[rule.standing]} {rule.says} {rule.supposes}"
        f" Source, {rule.standing}: {'; '.join(map(_linked, rule.sources))}{_read(rule)}."
        for rule in (one.rule for one in counts)
    )


def steps_table(growth: Growth) -> pd.DataFrame:
    """All requests of a growth in numbers of tokens."""
    return pd.DataFrame(
        {
            "tokens": [step.tokens for step in growth.steps],
            "reused": [step.reused for step in growth.steps],
            "computed": [step.computed for step in growth.steps],
            "of these again": [step.computed_again for step in growth.steps],
            "evicted": [step.evicted_tokens for step in growth.steps],
            "in the tree then": [step.stored_tokens for step in growth.steps],
        },
        index=pd.Index(range(1, len(growth.steps) + 1), name="request"),
    )


def _linked(source: Source) -> str:
    return f"[{source.name}]({source.url})" if source.url else source.name


def _read(rule: Rule) -> str:
    return f" (stored copies read on {rule.read_on})" if any(s.url for s in rule.sources) else ""


def _bars(names: Sequence[str], title: str | None, theme: Theme) -> go.Figure:
    font = text_font(theme, 15)
    figure = go.Figure()
    figure.update_layout(
        barmode="stack",
        bargap=0.25,
        xaxis={
            "title": {"text": "tokens of B", "font": font},
            "tickfont": font,
            "automargin": True,
            "rangemode": "tozero",
        },
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(reversed(names)),
            "tickfont": font,
            "automargin": True,
            "title": {"text": title, "font": font},
        },
        legend=legend(theme) | {"font": font},
        height=330,
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
    )
    return figure


def _put_names_above(figure: go.Figure, names: Sequence[str], theme: Theme) -> None:
    """In place of an axis, which takes two thirds of a phone's width for long names."""
    figure.update_yaxes(showticklabels=False)
    figure.update_layout(bargap=0.5)
    for name in names:
        figure.add_annotation(
            x=0,
            y=name,
            xref="paper",
            text=escape(name),
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            yshift=11,
            font=text_font(theme, 15),
        )


def _add(
    figure: go.Figure,
    names: Sequence[str],
    values: Sequence[int],
    name: str,
    style: StateStyle,
    theme: Theme,
) -> None:
    shade = style.shade(theme)
    figure.add_bar(
        y=list(names),
        x=list(values),
        name=name,
        orientation="h",
        text=[f"{value:,}" if value else "" for value in values],
        textposition="inside",
        insidetextanchor="middle",
        textfont=text_font(theme, 15),
        marker={
            "color": shade.tint,
            "line": {"color": shade.edge, "width": 2},
            "pattern": {
                "shape": {"dotted": ".", "dashed": "/"}.get(style.line, ""),
                "fgcolor": shade.edge,
                "fillmode": "overlay",
                "size": 9,
                "fgopacity": 0.35,
            },
        },
        hovertemplate=f"%{{y}}: {name}, %{{x:,}} tokens<extra></extra>",
    )
