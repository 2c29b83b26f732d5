"""A page of a real Chromium, playwright's own or the system's; where there is none, the browser suites are unrun."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A headless browser. Skips the suite as unrun, and says why, where there is no playwright or Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="unrun: playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = str(own) if own.exists() else next(filter(None, map(shutil.which, _NAMES)), None)
        if found is None:
            pytest.skip("unrun: no Chromium here")
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


def opened(page: "Page", path: Path, address: str = "") -> "Page":
    """The page of a file, once its data is unpacked and shown."""
    page.set_default_timeout(5000)
    page.goto(path.resolve().as_uri() + address)
    page.wait_for_selector("html[data-ready]")
    return page
