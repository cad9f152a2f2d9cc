"""Run every measurement."""

from __future__ import annotations

from tests.benchmarks import calls, pace_simulation, speed, startup

if __name__ == "__main__":
    calls.main()
    speed.main()
    pace_simulation.main()
    startup.main()
