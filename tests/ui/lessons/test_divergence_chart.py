"""The map as a picture: what is drawn where, and that a prompt's text is never markup."""

from __future__ import annotations

import pytest

from prefix_engine.lessons.divergence import Column, Divergence
from ui.lessons.divergence_chart import divergence_chart
from ui.palette import REUSED


def column(at: int, same: bool, differs: float, moved: int = 0) -> Column:
    return Column(at, at - moved, same, (0.0, differs), (differs, differs / 2))


@pytest.fixture
def divergence() -> Divergence:
    columns = (column(0, True, 0.0), column(1, False, 0.5), column(2, True, 0.01))
    tokens = ("<b>Hi", "*x*", "[y](z)")
    return Divergence("a", "b", tokens, tokens, 1, 2, 2**-23, columns, ())


def test_equal_and_different_cells_are_two_pictures(divergence: Divergence) -> None:
    figure = divergence_chart(divergence, divergence.by_position, "keys").figure
    equal, different = figure.select_traces({"type": "heatmap"})
    assert list(equal.z) == [[0, 0, 0], [0, None, None]]
    assert list(different.z[1][1:]) == [pytest.approx(-0.30103), pytest.approx(-2)]
    marks = next(figure.select_traces({"mode": "text"}))
    assert (marks.text, len(marks.x)) == (REUSED.glyph, 4)


def test_where_b_has_no_column_nothing_is_drawn(divergence: Divergence) -> None:
    first, _, third = divergence.by_position
    figure = divergence_chart(divergence, (first, third), "values").figure
    _, different = figure.select_traces({"type": "heatmap"})
    assert list(different.x) == [0, 1, 2]
    assert all(row[1] is None for row in different.z)


def test_a_gap_is_one_column_that_says_how_many_tokens_it_stands_for() -> None:
    columns = (
        column(0, True, 0.0),
        column(1, True, 0.0),
        *(column(at, True, 0.5, 2) for at in (6, 7)),
    )
    tokens = tuple("abcdefgh")
    moved = Divergence("a", "b", tokens, tokens, 2, 2, 2**-23, columns, columns)
    figure = divergence_chart(moved, columns, "keys", cell=(1, 6)).figure
    ticks = dict(zip(figure.layout.xaxis.tickvals, figure.layout.xaxis.ticktext, strict=True))
    assert ticks == {0: "a ✓", 1: "b ✓", 2: "no partner in A: 4", 3: "g ↻", 4: "h ↻"}
    _, different = figure.select_traces({"type": "heatmap"})
    assert list(different.x) == [0, 1, 2, 3, 4]
    assert all(row[2] is None for row in different.z)
    *frames, cut = figure.layout.shapes
    assert {(frame.x0, frame.x1) for frame in frames} == {(2.5, 3.5)}
    assert cut.x0 == 1.5


def test_many_columns_share_few_labels() -> None:
    columns = tuple(column(at, True, 0.0) for at in range(32))
    many = Divergence("a", "b", tuple("x" * 32), tuple("x" * 32), 32, 2, 2**-23, columns, ())
    places = divergence_chart(many, columns, "keys").figure.layout.xaxis.tickvals
    assert list(places) == list(range(0, 32, 2))


def test_every_cell_can_be_clicked(divergence: Divergence) -> None:
    figure = divergence_chart(divergence, divergence.by_position, "keys").figure
    targets = next(figure.select_traces({"mode": "markers"}))
    assert sorted(zip(targets.x, targets.y, strict=True)) == [
        (x, y) for x in range(3) for y in range(2)
    ]


def test_a_prompts_text_is_no_markup(divergence: Divergence) -> None:
    chart = divergence_chart(divergence, divergence.by_position, "keys")
    assert chart.figure.layout.xaxis.ticktext[0].startswith("&lt;b&gt;Hi")
    targets = next(chart.figure.select_traces({"mode": "markers"}))
    assert targets.customdata[0][0] == "&lt;b&gt;Hi"
    assert list(chart.table["text"]) == [r"\<b\>Hi", r"\*x\*", r"\[y\]\(z\)"]


def test_the_alternative_tells_the_differences_on_both_sides(divergence: Divergence) -> None:
    alt = divergence_chart(divergence, divergence.by_position, "keys").alt
    assert "2 layers by 3 tokens" in alt
    assert "at token 2, by at most 0%" in alt
    assert "from 1% to 50%" in alt
