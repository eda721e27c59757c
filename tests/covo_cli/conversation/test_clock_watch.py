"""What becomes of time: a program that is stopped, a clock that is set."""

from __future__ import annotations

from covo_cli.conversation.clock_watch import ClockWatch


class TwoClocks:
    def __init__(self) -> None:
        self.steady, self.wall = 100.0, 1e9

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: self.steady, lambda: self.wall)

    def pass_(self, steady: float, wall: float | None = None) -> None:
        self.steady += steady
        self.wall += steady if wall is None else wall


def test_a_standstill_and_a_change_of_the_clock_are_told_once() -> None:
    clocks = TwoClocks()
    watch = clocks.watch()

    def told(steady: float, wall: float | None = None) -> list[str]:
        clocks.pass_(steady, wall)
        return list(watch.look())

    assert told(0.02) == []
    assert told(1.9) == []
    assert told(8.0) == ["the program stood still for 8.0 s"]
    assert told(0.02, 0.02 - 3600) == ["the system's clock was set back by 1:00:00"]
    assert told(0.02) == []
    assert told(0.02, 60.02) == ["the computer slept for 0:01:00, or its clock was set forward"]
    for _ in range(1000):  # slewed slowly, as by NTP
        assert told(0.02, 0.021) == []
