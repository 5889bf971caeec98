"""The chart of the side channel: what was disturbed stays in the picture."""

from __future__ import annotations

from prefix_engine.lessons.heard import Eavesdropping, Probe
from ui.lessons.side_channel_chart import eavesdropping_chart, slowest_s


def test_a_disturbed_probe_is_drawn_as_a_cross_and_counted_apart() -> None:
    probes = tuple(Probe(number, 0, 9, 3, 0.1, 2.0) for number in range(4))
    disturbed = Probe(4, 0, 9, 3, 0.7, 0.5, disturbed=True)
    chart = eavesdropping_chart(Eavesdropping(("?",), 0, False, 3, (*probes, disturbed)), 0.8)
    by_symbol = {trace.marker.symbol: len(trace.x) for trace in chart.figure.data}
    assert by_symbol == {"star": 3, "x-thin-open": 1}
    assert list(chart.table["tries counted"]) == ["3 of 4"]


def test_two_charts_that_are_compared_have_one_scale_with_every_dot_in_it() -> None:
    fast, slow = (
        Eavesdropping(("?",), 0, False, 3, (Probe(0, 0, 9, 3, 9.0, 2.0), Probe(1, 0, 9, 3, s, 2.0)))
        for s in (0.1, 0.5)
    )
    upto_s = slowest_s(fast, slow)
    assert 0.5 < upto_s < 0.6, "the discarded round is not drawn"
    ranges = {eavesdropping_chart(one, upto_s).figure.layout.xaxis.range for one in (fast, slow)}
    assert ranges == {(0, upto_s * 1e3)}
