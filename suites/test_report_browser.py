"""The page in a real Chromium: filter, keys, deep links, back, pivots, why, colours, JavaScript off, hostile text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from benchmarks.report_records import write_run
from parity.axes import AXES
from parity.formats import FLOATS, INTEGERS, bits_text
from parity.kept_explanation import write_explanation
from reports.assets import STATIC
from reports.render import write_report
from suites.axe import grave_violations
from suites.chromium import chromium, opened
from suites.report_runs import HOSTILE, explanation, hostile_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """A fresh page on which any error, request or dialog fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    unwanted: list[str] = []
    page.on("pageerror", lambda error: unwanted.append(f"error: {error}"))
    page.on("console", lambda message: message.type in ("error", "warning") and unwanted.append(message.text))
    page.on("dialog", lambda dialog: (unwanted.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or unwanted.append(f"request: {request.url}"))
    yield page
    context.close()
    assert unwanted == []


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 cells of which 60 diverge in 5 ways on 3 edges."""
    directory = tmp_path_factory.mktemp("runs") / "made-up"
    write_run(directory, cells=600, mismatching=60, signatures=5)
    return write_report(directory)


@pytest.fixture(scope="module")
def twin(report: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(report.with_suffix(".json").read_text())
    return told


def found(page: "Page") -> str:
    return page.inner_text("#count")


def test_filter_narrows_and_stands_in_the_address(page: "Page", report: Path, twin: dict[str, Any]) -> None:
    opened(page, report)
    rows = twin["mismatches"]
    assert found(page) == f"{len(rows)} findings"
    wanted = {
        "dtype:bf16": [row for row in rows if "dtype:bf16" in row["cell"]],
        "dtype:fp32": [row for row in rows if "dtype:" not in row["cell"]],
        "!known": [row for row in rows if row["verdict"] != "known"],
        "stage:weight.s*,output": [row for row in rows if row["stage"] in ("weight.scale", "output")],
        "edge:ptq~convert": [row for row in rows if row["edge"] == "engine:ptq~engine:qat_convert"],
        "ulp>1": [row for row in rows if row["max_ulp"] > 1],
        "new stage:weight.scale": [row for row in rows if row["verdict"] == "diverged" and "scale" in row["stage"]],
        "ledger:torchao": [row for row in rows if "torchao" in row["ledger"]],
        "BIAS_in": [row for row in rows if "bias_in" in row["cause"]],
    }
    for text, expected in wanted.items():
        assert 0 < len(expected) < len(rows), text
        page.fill("#query", text)
        assert found(page) == f"{len(expected)} finding{'' if len(expected) == 1 else 's'}", text
        assert parse_qs(urlsplit(page.url).fragment)["q"] == [text]


def test_any_and_unrun_list_pairs_that_are_no_findings(page: "Page", report: Path, twin: dict[str, Any]) -> None:
    opened(page, report, "#q=any")
    assert found(page) == f"{twin['planned']:,} pairs"
    page.fill("#query", "unrun")
    assert found(page) == f"{twin['verdicts']['unrun']:,} pairs"
    assert "no cuda" in page.inner_text(".list-body .list-row >> nth=0")


def test_unknown_axis_and_value_are_told_and_signature_links_are_exact(
    page: "Page", report: Path, twin: dict[str, Any]
) -> None:
    opened(page, report, "#q=dtyp:bf16")
    assert "dtyp is no axis" in page.inner_text("#query-note")
    page.fill("#query", "dtype:fp8")
    assert "no cell has dtype:fp8; there is fp32, bf16, fp16" in page.inner_text("#query-note")
    page.click("td.where a >> nth=0")
    assert found(page) == f"{twin['signatures'][0]['pairs']} findings"


def test_keys_walk_through_findings_and_back_returns(page: "Page", report: Path, twin: dict[str, Any]) -> None:
    opened(page, report)
    first, second = twin["mismatches"][:2]
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#cell h2:text-is('{first['cell']}')")
    page.keyboard.press("j")
    page.wait_for_selector(f"#cell h2:text-is('{second['cell']}')")
    page.keyboard.press("k")
    page.wait_for_selector(f"#cell h2:text-is('{first['cell']}')")
    page.go_back()
    page.wait_for_selector(f"#cell h2:text-is('{second['cell']}')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#overview", state="visible")
    page.keyboard.press("/")
    page.keyboard.type("jk?")
    assert page.input_value("#query") == "jk?"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()


def test_deep_link_opens_a_cell_with_its_stages_and_command(page: "Page", report: Path, twin: dict[str, Any]) -> None:
    row = twin["mismatches"][0]
    opened(page, report, "#" + urlencode({"cell": row["cell"], "edge": row["edge"]}))
    page.wait_for_selector(".waterfall")
    assert page.inner_text(".command code") == f"parity replay {row['cell']}"
    told = page.inner_text(".edge-sentence")
    assert f"{row['stage']} is the first stage that differs: {row['n_different']} of {row['n_total']} elements" in told
    assert f"at most {row['max_ulp']} ulp apart, first at [{row['first_index']}]" in told
    stages = page.locator(".waterfall tbody tr")
    assert stages.count() == 12
    assert page.inner_text(".waterfall tr.shown th") == row["stage"]
    page.click(".waterfall tr:last-child th a")
    page.wait_for_selector(".stage-panel[aria-label='grad.weight']")
    assert page.locator(".bit.differs").count() > 0
    assert "instead." in page.inner_text("#cell")


def test_link_to_a_cell_that_is_not_there_says_so(page: "Page", report: Path) -> None:
    opened(page, report, "#cell=dtype:fp8")
    assert "This run has no cell dtype:fp8." in page.inner_text("#cell")


def test_pivot_moves_an_axis_and_stands_in_the_address(page: "Page", report: Path) -> None:
    opened(page, report)
    assert page.inner_text(".facet .axis-name >> nth=0") == "domain"
    page.select_option("[aria-label='add an axis to the rows']", "family")
    page.click("[aria-label='take edge out of the facets']")
    page.select_option("[aria-label='add an axis to the columns']", "edge")
    assert "rows=dtype,scale,family" in page.url
    assert "columns=domain,eps,device,edge&facets=preset" in page.url
    assert page.locator(".facet").count() == len(AXES["preset"].values)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator(".facet").count() == len(AXES["preset"].values)


def test_matrix_counts_are_those_of_the_twin(page: "Page", report: Path, twin: dict[str, Any]) -> None:
    shown = {}
    for verdict, kind in (("diverged", "new"), ("known", "known")):
        opened(page, report, f"#rows=dtype&columns=edge&facets=none&q={verdict}")
        page.wait_for_selector(".facet td.box")
        shown[verdict] = sum(int(text) for text in page.locator(f".facet .box.{kind} b").all_inner_texts())
        page.goto("about:blank")
    assert shown == {verdict: twin["verdicts"][verdict] for verdict in shown}
    opened(page, report, "#rows=dtype&columns=edge&facets=none&q=identical")
    page.wait_for_selector(".facet.quiet > summary")
    page.click(".facet.quiet > summary")
    page.click(".facet.quiet .facet > summary")
    page.wait_for_selector(".facet td.box.equal")
    equal = page.locator(".facet .box.equal").all_inner_texts()
    assert sum(int(text.replace(",", "")) for text in equal) == twin["verdicts"]["identical"]


def test_why_is_this_column_red(page: "Page", report: Path, twin: dict[str, Any]) -> None:
    """A column of one edge, device:cpu, holds every pair that ran: its reason is the one in the table of signatures."""
    edge = "engine.torchao:qat_convert~torchao:qat_convert"
    (row,) = (row for row in twin["signatures"] if "|weight.scale|" in row["signature"])
    opened(page, report, "#" + urlencode({"rows": "scale", "columns": "device", "facets": "edge", "q": f"edge:{edge}"}))
    page.click(".heat thead .ask")
    assert page.inner_text("#why p b") == "device:cpu"
    reasons = page.locator("#why li").all_inner_texts()
    assert f"weight.scale {row['pairs']} pairs: {row['where']}" in [" ".join(reason.split()) for reason in reasons]
    page.click("#why >> text=show these findings")
    assert f"edge:{edge}" in page.input_value("#query")
    assert "device:cpu" in page.input_value("#query")


def test_colours_follow_the_system_until_told_otherwise(page: "Page", report: Path) -> None:
    paper = "() => getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    opened(page, report)
    assert page.evaluate(paper) == "rgb(22, 24, 27)"
    page.click("#theme")
    assert page.inner_text("#theme") == "light"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.keyboard.press("t")
    assert page.evaluate(paper) == "rgb(22, 24, 27)"


def test_without_javascript_verdict_counts_and_findings_are_there(
    browser: "Browser", report: Path, twin: dict[str, Any]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    assert twin["sentence"] in page.inner_text("h1")
    assert page.locator("#top tbody tr").count() == 20
    assert page.locator("#top").is_visible()
    assert page.locator("#filter").is_hidden()
    assert "JavaScript is off" in page.inner_text("noscript")
    context.close()


def test_hostile_text_runs_nothing_anywhere(page: "Page", tmp_path: Path) -> None:
    written = write_report(hostile_run(tmp_path / "<img src=x onerror=alert(1)>"))
    for i, text in enumerate(HOSTILE):
        opened(page, written, "#" + urlencode({"cell": text, "edge": f"{text}~b{i}", "q": text}))
        assert page.inner_text("#cell h2").strip() == " ".join(text.split())
        page.wait_for_selector(".waterfall")
        page.reload()
        page.wait_for_selector("html[data-ready]")
    opened(page, written, "#" + urlencode({"rows": HOSTILE[0], "columns": HOSTILE[1], "stage": HOSTILE[2]}))
    assert page.evaluate("() => document.querySelectorAll('img, svg, iframe').length") == 0


def test_policy_stops_a_script_that_got_in(browser: "Browser", report: Path, tmp_path: Path) -> None:
    """The last line of defence, tried by putting a script and a request into a page as an attacker would."""
    planted = report.read_text().replace("<h1>", "<h1><script>window.hit = 1</script><img src='https://example.org/x'>")
    (tmp_path / "planted.html").write_text(planted)
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    opened(page, tmp_path / "planted.html")
    assert page.evaluate("() => window.hit") is None
    assert sum("Content Security Policy" in text for text in refused) >= 2
    page.close()


def test_axe_finds_nothing_serious(page: "Page", tmp_path: Path) -> None:
    """Contrast, names, roles: on the overview, in the help, and on a cell that is explained."""
    write_run(tmp_path, cells=60, mismatching=20, signatures=5)
    row = json.loads(write_report(tmp_path).with_suffix(".json").read_text())["mismatches"][0]
    write_explanation(tmp_path, explanation(row["cell"], edge=row["edge"]))
    report = write_report(tmp_path)
    opened(page, report)
    page.wait_for_selector(".heat")
    assert grave_violations(page) == []
    page.keyboard.press("?")
    assert grave_violations(page) == []
    page.goto("about:blank")
    opened(page, report, "#" + urlencode({"cell": row["cell"], "edge": row["edge"]}))
    page.wait_for_selector(".number-line")
    assert grave_violations(page) == []


PATTERNS = {
    "float32": (0x0, 0x8000_0000, 0x1, 0x7F_FFFF, 0x3F80_0000, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x3DCC_CCCD),
    "float16": (0x1, 0x3FF, 0x7BFF, 0x7C00, 0xC500),
    "bfloat16": (0x1, 0x3F81, 0x7F7F, 0xFF80),
    "float64": (0x1, 0x000F_FFFF_FFFF_FFFF, 0x3FB9_9999_9999_999A, 0x7FEF_FFFF_FFFF_FFFF, 0x0010_0000_0000_0001),
    "float8_e4m3fn": (0x7E, 0x1, 0x38, 0x88),
    "float8_e5m2": (0x7B, 0x7C, 0x1),
    "int8": (0x0, 0x80, 0xFF),
    "int64": (0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF),
    "uint8": (0xFF,),
}


def test_bit_patterns_are_read_as_parity_reads_them(page: "Page") -> None:
    """hex, the exact value and %a; the page may write another decimal of the same float64."""
    cases = [(name, f"{bits:x}") for name, patterns in PATTERNS.items() for bits in patterns]
    formats = {
        form.name: {slot: getattr(form, slot) for slot in form.__slots__} for form in (FLOATS | INTEGERS).values()
    }
    read = """
      const told = ([name, hex]) => {
        const [bits, format] = [BigInt("0x" + hex), formats[name]];
        const value = valueOf(bits, format);
        return [hexOf(bits, format), decimalText(value), typeof value === "number" ? hexFloat(value) : ""];
      };
      return cases.map(told);
    """
    script = f"const formats = JSON.parse(text); {(STATIC / 'bits.js').read_text()} {read}"
    shown = page.evaluate(f"([cases, text]) => {{ {script} }}", [cases, json.dumps(formats)])
    for (name, bits), (hex_, decimal, hex_float) in zip(cases, shown, strict=True):
        told = bits_text(int(bits, 16), name)
        value = (FLOATS.get(name) or INTEGERS[name]).value(int(bits, 16))
        assert told.startswith(f"{hex_} = "), (name, bits)
        assert type(value)(decimal.replace("Infinity", "inf")) == value, (name, bits)
        assert not hex_float or told.endswith(f"({hex_float})"), (name, bits)
