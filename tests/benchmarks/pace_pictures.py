"""Draw how the pace meets a limit, in virtual time: `python -m tests.benchmarks.pace_pictures docs/screenshots`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.pace_simulation import START, Bucket, Case, Log, Window, run

WIDTH, HEIGHT, LEFT, TOP = 720, 150, 46, 26
#: Pictures: a file, its title, a run, and the calls a second at the upper edge.
PICTURES = (
    ("pace-window", "40 calls a second, stated on all answers", Window(40, 1), "x", 5, 160),
    ("pace-sliding", "40 calls in any 5 s, stated on all answers", Log(40, 5), "ratelimit", 20, 160),
    ("pace-bucket", "A bucket of 50 calls, refilled at 10 a second", Bucket(10, 50), "policy", 20, 160),
    ("pace-refusals", "40 calls a second, stated on refusals only", Window(40, 1), "refusals", 5, 160),
    (
        "pace-search",
        "A bucket of 20, refilled at 20 a second, that nobody states",
        Bucket(20, 20),
        "",
        20,
        80,
    ),
)


def picture(title: str, sent: tuple[float, ...], seconds: float, most: float) -> str:
    """Return an SVG: calls a second in each of 100 slices of the time."""
    slices = [0] * 100
    for at in sent:
        slices[min(99, int((at - START) / seconds * 100))] += 1
    step, wide = seconds / 100, (WIDTH - LEFT - 10) / 100
    bars = []
    for index, calls in enumerate(slices):
        high = min(1.0, calls / step / most) * HEIGHT
        left, top = LEFT + index * wide, TOP + HEIGHT - high
        bars.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide * 0.8:.1f}" height="{high:.1f}" fill="#2b6cb0"/>'
        )
    ticks = [
        f'<text x="{LEFT + share * (WIDTH - LEFT - 10):.0f}" y="{TOP + HEIGHT + 18}">{share * seconds:g} s</text>'
        for share in (0, 0.25, 0.5, 0.75)
    ]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{TOP + HEIGHT + 26}">',
            "<style>text { font: 12px sans-serif }</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="{LEFT}" y="16">{title}</text>',
            f'<text x="4" y="{TOP + 10}">{most:g}/s</text><text x="4" y="{TOP + HEIGHT}">0/s</text>',
            *bars,
            *ticks,
            "</svg>\n",
        )
    )


def main(folder: Path) -> None:
    """Write all pictures."""
    for name, title, limit, headers, seconds, most in PICTURES:
        case = Case(label=title, limit=limit, headers=headers, retry_after="none", latency=0.05, seconds=seconds)
        text = picture(title, run(case).sent_at, seconds, most)
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
