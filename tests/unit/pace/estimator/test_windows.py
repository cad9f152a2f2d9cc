from __future__ import annotations

from msgspec.structs import replace

from worker.pace.estimator import windows
from worker.pace.state import Estimate, Grant

NOW = 1_700_000_000.0


def test_the_first_pause_is_short_and_doubles_with_every_refused_probe():
    assert windows.until(Estimate(), NOW) == NOW + windows.FIRST_PAUSE
    # Seven hours after the window began no round length ends soon.
    refused = Estimate(probing=True, own_pause=2.0, window_from=NOW - 25_000)
    assert windows.until(refused, NOW) == NOW + 2


def test_a_probe_waits_for_the_end_of_a_round_window():
    refused = Estimate(probing=True, own_pause=16.0, window_from=NOW - 40)

    assert NOW + 20 < windows.until(refused, NOW) < NOW + 21


def test_a_known_window_is_waited_for_when_the_first_probe_is_refused_too():
    known = Estimate(own_pause=0.25, window_from=NOW - 50, window=57.0)

    assert windows.until(known, NOW) == NOW + 0.25
    assert NOW + 7 < windows.until(replace(known, probing=True), NOW) < NOW + 8


def test_how_long_a_window_lasts_is_learned_from_the_probe_that_was_accepted():
    refused = Estimate(window_from=NOW, refused_from=NOW + 5)

    assert windows.window(refused, _sent(NOW + 60.5)) == 60
    assert windows.window(refused, _sent(NOW + 47)) == 47
    assert windows.window(refused, _sent(NOW + 6)) == 0, "a pause of a second may be a bucket's"


def test_several_windows_are_not_measured_as_one():
    refused = Estimate(window_from=NOW, refused_from=NOW + 70, window=60.0)

    assert windows.window(refused, _sent(NOW + 95)) == 60


def _sent(at):
    return Grant(at=at, number=1, concurrency=1)
