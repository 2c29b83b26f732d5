"""Equal records make equal bytes, and no text of a record becomes markup, script or address."""

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.report_records import write_run
from reports.assets import INDEX_SCRIPTS, SCRIPTS
from reports.render import write_report
from suites.plain_records import manifest, pair
from suites.report_runs import HOSTILE, Elements, data_of, diverged, hostile_run, write

HOUSE = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 cells of which 60 diverge in 5 ways, some refused and some unrun, and their report."""
    directory = tmp_path_factory.mktemp("runs") / "made-up"
    write_run(directory, cells=600, mismatching=60, signatures=5)
    write_report(directory)
    return directory


# --- same records, same bytes ------------------------------------------------------------------------------------


def test_equal_records_make_equal_bytes_but_for_one_block(tmp_path: Path) -> None:
    records = [diverged("dtype:bf16"), pair("default")]
    pages, twins = [], []
    for name, started in (("monday", "2026-01-31T00:00:00+00:00"), ("tuesday", "2026-02-01T00:00:00+00:00")):
        plan = replace(manifest(("dtype:bf16", "default")), started=started, argv=("parity", "run", "--out", name))
        written = write_report(write(tmp_path / name, records, plan=plan))
        pages.append(re.sub(r'<footer id="made">.*?</footer>', "", written.read_text(), flags=re.DOTALL))
        twins.append(json.loads(written.with_suffix(".json").read_text()))
        assert twins[-1].pop("made")["started"] == started
    assert pages[0] == pages[1]
    assert twins[0] == twins[1]


def test_report_is_written_twice_alike_and_where_it_is_told(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [diverged()])
    first = write_report(run).read_bytes()
    out = write_report(run, tmp_path / "page.html")
    assert out == tmp_path / "page.html"
    assert out.read_bytes() == first
    assert out.with_suffix(".json").exists()


def test_report_is_rendered_where_torch_cannot_be_imported(made_up: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'quant', 'kernels', 'torchao'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from reports.render import write_report\n"
        f"write_report(Path({str(made_up)!r}), Path('page.html'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "page.html").read_bytes() == (made_up / "report.html").read_bytes()


# --- hostile text ------------------------------------------------------------------------------------------------


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "<img src=x onerror=alert(1)>")
    text = write_report(run).read_text()
    elements = Elements(text)
    assert [tag for tag, _ in elements.starts].count("script") == 3
    assert not {"img", "svg", "iframe", "object", "embed", "link"} & {tag for tag, _ in elements.starts}
    assert not [name for _, attributes in elements.starts for name in attributes if name.startswith("on")]
    addresses = [
        value for _, attributes in elements.starts for name, value in attributes.items() if name in ("href", "src")
    ]
    assert addresses
    assert all(address and address.startswith("#") for address in addresses)
    for hostile in HOSTILE[:5]:
        assert hostile in "".join(elements.words)
    facts, columns = data_of(text)
    assert [facts["odd"][str(i)] for i in range(len(HOSTILE))] == list(HOSTILE)
    assert len(columns["finding.cell"]) == len(HOSTILE)


def test_policy_allows_the_pages_own_script_and_style_and_nothing_else(made_up: Path) -> None:
    text = (made_up / "report.html").read_text()
    (policy,) = (a["content"] for tag, a in Elements(text).starts if a.get("http-equiv") == "Content-Security-Policy")
    script = Elements(text).scripts[-1]
    style = text.split("<style>")[1].split("</style>")[0]
    hashes = [b64encode(sha256(part.encode()).digest()).decode() for part in (script, style)]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    before_the_script = text.split("<script>")[0]
    assert not re.search(r"https?://", before_the_script), "nothing to fetch, nor a link that leaves the page"
    assert " style=" not in before_the_script.split("<body>")[1]


def test_scripts_make_no_markup_of_text_and_no_requests() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(|XMLHttp"
    )
    scripts = sorted((HOUSE / "reports" / "static").glob("*.js"))
    assert [path.name for path in scripts] == sorted({*SCRIPTS, *INDEX_SCRIPTS})
    assert not {path.name: found for path in scripts if (found := forbidden.findall(path.read_text()))}
