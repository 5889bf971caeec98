"""Colours carry meaning only together with glyph, word and line, and text on them is readable."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from prefix_engine.compare import State
from ui.palette import (
    ARM_COLOUR,
    GROUND,
    INK,
    REASON,
    SOFT_INK,
    STAGE_COLOUR,
    STATE_STYLE,
    StateStyle,
    Theme,
    css_variables,
)

THEMES: tuple[Theme, ...] = get_args(Theme)
TEXT_CONTRAST = 4.5  # WCAG 1.4.3
GRAPHIC_CONTRAST = 3.0  # WCAG 1.4.11


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two #rrggbb colours. Source: WCAG 2.2, relative luminance."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("state", State)
def test_text_is_readable_on_every_fill(state: State, theme: Theme) -> None:
    shade = STATE_STYLE[state].shade(theme)
    for fill in filter(None, (shade.tint, shade.stripe)):
        assert contrast(fill, INK[theme]) >= TEXT_CONTRAST
        assert contrast(fill, SOFT_INK[theme]) >= TEXT_CONTRAST


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("state", State)
def test_borders_stand_out_from_the_page_and_from_their_fill(state: State, theme: Theme) -> None:
    shade = STATE_STYLE[state].shade(theme)
    assert contrast(shade.edge, GROUND[theme]) >= GRAPHIC_CONTRAST
    assert contrast(shade.edge, shade.tint) >= GRAPHIC_CONTRAST


@pytest.mark.parametrize("theme", THEMES)
def test_soft_text_is_readable_on_the_page(theme: Theme) -> None:
    assert contrast(SOFT_INK[theme], GROUND[theme]) >= TEXT_CONTRAST


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("colours", [ARM_COLOUR, STAGE_COLOUR], ids=["arms", "stages"])
def test_chart_colours_stand_out_from_the_page(colours: dict[str, str], theme: Theme) -> None:
    assert all(contrast(colour, GROUND[theme]) >= GRAPHIC_CONTRAST for colour in colours.values())


@pytest.mark.parametrize(
    "tell",
    [lambda s: s.glyph, lambda s: s.word, lambda s: s.line, lambda s: s.light, lambda s: s.dark],
    ids=["glyph", "word", "line", "light", "dark"],
)
def test_states_can_be_told_apart_by_each_of_their_marks(
    tell: Callable[[StateStyle], object],
) -> None:
    assert len({tell(STATE_STYLE[state]) for state in State}) == len(State)


def test_only_the_hatched_line_has_stripes() -> None:
    for style in STATE_STYLE.values():
        for theme in THEMES:
            assert (style.shade(theme).stripe is not None) == (style.line == "hatched")


def test_css_has_both_themes_of_every_colour() -> None:
    css = css_variables(".here")
    assert css.startswith(".here {")
    for state, style in STATE_STYLE.items():
        name = state.value.replace("_", "-")
        assert f"--fd-{name}-tint: light-dark({style.light.tint}, {style.dark.tint});" in css
        assert f"--fd-{name}-edge: light-dark({style.light.edge}, {style.dark.edge});" in css
    assert f"--fd-ink: light-dark({INK['light']}, {INK['dark']});" in css


def test_every_reason_to_compute_a_matched_token_has_words() -> None:
    assert set(REASON) == {"block", "last_token"}
