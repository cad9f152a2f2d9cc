"""Run every measurement."""

from __future__ import annotations

from tests.benchmarks import pace_simulation, speed

if __name__ == "__main__":
    speed.main()
    pace_simulation.main()
