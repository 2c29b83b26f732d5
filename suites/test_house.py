"""Imports stay light, foreign packages are refused, modules stay small, every linter ignore gives its reason."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
ROOMS = ("kernels", "quant", "parity", "reports", "suites", "benchmarks")
NEIGHBOURS = ("kernels", "quant", "reports")
HEAVY = ("torch", "pandas", "pyarrow", "torchao")

# Modules of parity that hold plain records: a page is rendered from them where torch cannot be imported.
PLAIN = (
    *(
        "accept",
        "accepted",
        "aim",
        "aim_columns",
        "axes",
        "burn_cells",
        "cells",
        "columns",
        "contract",
        "detection",
        "edges",
    ),
    *("evidence", "exit_codes", "explanation", "forbidden", "foreign", "judge", "kept_explanation", "ledger"),
    *(
        "manifest",
        "matrix",
        "mutation",
        "proof",
        "record",
        "rerun",
        "row_file",
        "run_diff",
        "signature",
        "store",
        "verdicts",
        "whole_file",
    ),
    *(f"gate.{name}" for name in ("changes", "comparable", "gate", "github", "junit", "markdown", "measured")),
    *(f"gate.{name}" for name in ("moves", "rule_moves", "samples")),
)


def sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((HOUSE / room).rglob("*.py"))


def run_python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that finds parity through PYTHONPATH unless told otherwise."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(HOUSE), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


# --- imports stay light -------------------------------------------------------------------------------------------


def test_import_parity_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = run_python("-c", "import sys, parity; print(*sys.modules)", cwd=tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert not {*HEAVY, "numpy"} & {*loaded.stdout.split()}


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    """The command line prints its help and exits before a tensor library is loaded."""
    script = (
        "import runpy, sys\n"
        "sys.argv = ['parity', '--help']\n"
        "try: runpy.run_module('parity', run_name='__main__')\n"
        "except SystemExit as stop: print('exit', stop.code or 0)\n"
        "print('loaded', *sys.modules)"
    )
    helped = run_python("-c", script, cwd=tmp_path)
    said, _, loaded = helped.stdout.rpartition("\nloaded ")
    assert "Usage: parity" in said, helped.stderr
    assert said.endswith("exit 0")
    assert not {*HEAVY, "numpy"} & {*loaded.split()}


@pytest.mark.parametrize("first", ["the module", "the name"])
def test_public_names_are_objects_whatever_was_imported_first(tmp_path: Path, first: str) -> None:
    """parity.run is the function before and after `import parity.run`, and parity.HOME_OF says where it comes from."""
    import_modules = "for module in parity.HOME_OF.values(): importlib.import_module(module)\n"
    look_at_names = (
        "for name, module in parity.HOME_OF.items():\n"
        "    found = getattr(parity, name)\n"
        "    assert not isinstance(found, types.ModuleType), name\n"
        "    assert found is getattr(sys.modules[module], name), name\n"
        "assert {*parity.__all__} == {*parity.HOME_OF, '__version__'} <= {*dir(parity)}\n"
    )
    start = "import importlib, sys, types, parity\n" + (import_modules if first == "the module" else "")
    ran = run_python("-c", start + look_at_names + import_modules + look_at_names, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_unknown_public_name_is_a_sentence(tmp_path: Path) -> None:
    ran = run_python("-c", "import parity; parity.comparee", cwd=tmp_path)
    assert "module 'parity' has no attribute 'comparee'; it has Backend, " in ran.stderr


# --- foreign packages are refused ---------------------------------------------------------------------------------

REFUSED = re.compile(
    r"ImportError: parity needs its own package '(\w+)' at (\S+), but Python would import (\S+), which"
)


def refusal(ran: subprocess.CompletedProcess[str]) -> tuple[str, Path, Path]:
    """(package, path wanted, path found) of the sentence; the import must have failed with it."""
    said = REFUSED.search(ran.stderr)
    assert ran.returncode == 1, ran.stderr
    assert said, ran.stderr
    return said[1], Path(said[2]), Path(said[3])


def mend(ran: subprocess.CompletedProcess[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command that the refusal ends in, as a person would paste it."""
    command = ran.stderr.strip().split(": ", 2)[2]
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(HOUSE), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with its own empty kernels/ and quant/, neither with an __init__.py."""
    for name in ("kernels", "quant"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("how", ["-c", "-m", "script"])
def test_own_kernels_package_in_the_current_folder_is_refused_and_mended(elsewhere: Path, how: str) -> None:
    for name in ("kernels", "quant"):
        (elsewhere / name / "__init__.py").touch()
    (elsewhere / "imports_parity.py").write_text("import parity\n")
    how_to_start = {"-c": ["-c", "import parity"], "-m": ["-m", "parity.verdicts"], "script": ["imports_parity.py"]}
    ran = run_python(*how_to_start[how], cwd=elsewhere)
    assert refusal(ran) == ("kernels", HOUSE / "kernels", elsewhere / "kernels")
    assert mend(ran, elsewhere).returncode == 0


def test_single_foreign_module_is_refused_and_mended(tmp_path: Path) -> None:
    (tmp_path / "quant.py").touch()
    ran = run_python("-c", "import parity", cwd=tmp_path)
    assert refusal(ran) == ("quant", HOUSE / "quant", tmp_path / "quant.py")
    assert mend(ran, tmp_path).returncode == 0


def test_empty_kernels_folder_is_harmless_where_ours_is_on_the_path(elsewhere: Path) -> None:
    """A folder without __init__.py loses to our package further down the path; quant comes from the house."""
    ran = run_python("-c", "import parity, importlib.util as u; print(u.find_spec('quant').origin)", cwd=elsewhere)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()) == HOUSE / "quant" / "__init__.py"


def test_empty_kernels_folder_is_refused_where_it_would_win(elsewhere: Path) -> None:
    """An editable install through a finder comes after the path, so that even an empty folder wins."""
    script = (
        "import sys, importlib.machinery as machinery\n"
        "class Finder:\n"
        f"    def find_spec(name, path=None, target=None):\n"
        f"        return machinery.PathFinder.find_spec(name, [{str(HOUSE)!r}]) if path is None else None\n"
        "sys.meta_path.append(Finder)\n"
        "import parity"
    )
    ran = run_python("-S", "-c", script, cwd=elsewhere, PYTHONPATH="")  # -S: our own editable install stays out of it
    assert refusal(ran) == ("kernels", HOUSE / "kernels", elsewhere / "kernels")
    assert mend(ran, elsewhere, PYTHONPATH="").returncode == 0


def test_foreign_package_on_pythonpath_is_refused_and_mended(tmp_path: Path) -> None:
    (tmp_path / "theirs" / "quant").mkdir(parents=True)
    (tmp_path / "theirs" / "quant" / "__init__.py").touch()
    path = {"PYTHONPATH": f"{tmp_path / 'theirs'}:{HOUSE}"}
    ran = run_python("-c", "import parity", cwd=tmp_path, **path)
    assert refusal(ran) == ("quant", HOUSE / "quant", tmp_path / "theirs" / "quant")
    assert mend(ran, tmp_path, **path).returncode == 0


def test_installed_foreign_package_is_refused_and_mended(tmp_path: Path) -> None:
    """A distribution called hub-kernels that installs `kernels`: the command uninstalls it by its own name."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    record = site / "hub_kernels-1.0.dist-info"
    for folder in (site / "kernels", record):
        folder.mkdir()
    (site / "kernels" / "__init__.py").touch()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: hub-kernels\nVersion: 1.0\n")
    (record / "RECORD").write_text("kernels/__init__.py,,\nhub_kernels-1.0.dist-info/METADATA,,\n")
    # As an editable install leaves it: parity by a .pth file; pip, too, is borrowed.
    (site / "house.pth").write_text(f"{HOUSE}\n{sysconfig.get_path('purelib')}\n")

    environment = {**os.environ, "PYTHONPATH": ""}
    start = [str(python), "-c", "import parity"]
    ran = subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert refusal(ran) == ("kernels", HOUSE / "kernels", site / "kernels")
    assert ran.stderr.strip().endswith("-m pip uninstall --yes hub-kernels")
    mended = mend(ran, tmp_path, PYTHONPATH="")
    assert mended.returncode == 0, mended.stderr
    again = subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr


# --- the shape of the code ----------------------------------------------------------------------------------------


def test_modules_are_small_and_named_for_what_they_hold() -> None:
    too_long = {path: n for path in sources() if (n := len(path.read_text().splitlines())) > 300}
    assert not too_long
    says_nothing = {"util", "utils", "helper", "helpers", "common", "base", "misc"}
    assert not [path for path in sources() if says_nothing & {path.stem, path.parent.name}]


def test_every_linter_ignore_has_its_reason_on_the_line() -> None:
    bare = re.compile(
        r"#\s*(noqa(: ?[A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*)?|type: ignore(\[[\w, -]+\])?|pragma: \w+( \w+)?)\s*$"
    )
    offenders = [
        f"{path.relative_to(HOUSE)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if bare.search(line)
    ]
    assert not offenders


def test_what_needs_a_gpu_says_so_by_its_marker_alone() -> None:
    own_skip = re.compile(r"""skipif\(\s*not torch\.cuda|skip\(["']no CUDA""")
    skipping = [path.name for path in (HOUSE / "suites").rglob("*.py") if own_skip.search(path.read_text())]
    assert skipping == ["conftest.py"]


def test_import_contract_names_every_plain_record_module() -> None:
    contracts = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (forbidden,) = (contract for contract in contracts if "reports" in contract.get("source_modules", ()))
    assert {*forbidden["source_modules"]} == {"reports", *(f"parity.{name}" for name in PLAIN)}
    assert {*forbidden["forbidden_modules"]} >= {"torch", "quant", "kernels"}


def test_every_decision_is_in_the_index() -> None:
    decisions = HOUSE / "docs" / "decisions"
    pages = sorted(path.name for path in decisions.glob("[0-9]*.md"))
    linked = re.findall(r"\]\((\d{3}-[a-z0-9-]+\.md)\)", (decisions / "README.md").read_text())
    assert sorted(linked) == pages


def test_version_is_the_same_everywhere(tmp_path: Path) -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    said = run_python("-c", "import parity; print(parity.__version__)", cwd=tmp_path).stdout.strip()
    assert said == project["version"]
    assert f"## [{said}]" in (HOUSE / "CHANGELOG.md").read_text()


def test_makefile_refuses_an_old_python_with_a_sentence(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(HOUSE / name, tmp_path / name)
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    make = ["make", "setup", f"PYTHON={old}"]
    ran = subprocess.run(make, cwd=tmp_path, env={**os.environ, "MAKEFLAGS": ""}, capture_output=True, text=True)
    assert ran.returncode == 2
    assert f"quant-parity needs Python 3.11 or newer, but {old} is Python 3.9.1." in ran.stderr
    assert not (tmp_path / ".venv").exists()
