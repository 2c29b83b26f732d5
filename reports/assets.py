"""A page's one script and one style sheet, joined from static/, and the policy that allows these two alone."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

STATIC = Path(__file__).with_name("static")

# Each file may use what stands in those before it.
SCRIPTS = (
    "elements.js",
    "sheet.js",
    "bits.js",
    "query.js",
    "explanation.js",
    "address.js",
    "theme.js",
    "list.js",
    "tally.js",
    "why.js",
    "matrix.js",
    "pivot.js",
    "bit_view.js",
    "histogram.js",
    "waterfall.js",
    "explained.js",
    "cell.js",
    "keys.js",
    "main.js",
)

STYLES = ("colours.css", "page.css", "matrix.css", "cell.css", "print.css")

INDEX_SCRIPTS = ("elements.js", "theme.js", "address.js", "nights.js")

INDEX_STYLES = ("colours.css", "page.css", "nights.css", "print.css")


@cache
def script() -> str:
    """All scripts as one strict function, so that no name of theirs is global."""
    return _strict(SCRIPTS)


@cache
def style() -> str:
    """All style sheets, in order."""
    return _joined(STYLES)


@cache
def index_script() -> str:
    """The scripts of the dashboard, joined alike."""
    return _strict(INDEX_SCRIPTS)


@cache
def index_style() -> str:
    """The style sheets of the dashboard, in order."""
    return _joined(INDEX_STYLES)


def policy(script_text: str, style_text: str) -> str:
    """A Content-Security-Policy under which only these two texts act: no request, no other script, no form, no base."""
    return (
        f"default-src 'none'; script-src '{_hash(script_text)}'; style-src '{_hash(style_text)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _strict(names: tuple[str, ...]) -> str:
    return '(() => {\n"use strict";\n' + _joined(names) + "})();\n"


def _joined(names: tuple[str, ...]) -> str:
    return "".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"
