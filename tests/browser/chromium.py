"""The browser of the tests, and how it is started."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Pages and processes of the browser itself for each new window; they take twice the time of a page of ours.
FOR_EACH_WINDOW = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "SpareRendererForSitePerProcess",
)
#: With them each page has a process of its own, and pages of one window share none.
FOR_EACH_PAGE = ("IsolateOrigins", "site-per-process")
#: What Playwright turns off. Chromium reads one list of features alone: the last.
BY_PLAYWRIGHT = (
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-site-isolation-trials", "--renderer-process-limit=1"),
    f"--disable-features={','.join((*BY_PLAYWRIGHT, *FOR_EACH_WINDOW, *FOR_EACH_PAGE))}",
]


def find_browser() -> str | None:
    """Return the Chromium to use; None for Playwright's own, if it has one."""
    named = os.environ.get("ROSTER_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def is_up(url: str) -> bool:
    """Return whether a `roster serve` responds."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
