"""What axe finds wrong with a page for people who cannot see it as it is, in both palettes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

GRAVE = ("serious", "critical")


def grave_violations(page: Page) -> list[tuple[str, str]]:
    """(rule, the first element that breaks it); names and roles once, contrast in the light and in the dark palette.

    Skips the test as unrun where axe is not installed.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="unrun: axe is not installed").Axe()
    page.emulate_media(color_scheme="light")
    found = axe.run(page).response["violations"]
    page.emulate_media(color_scheme="dark")
    contrast = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
    found += axe.run(page, options=contrast).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in GRAVE]
