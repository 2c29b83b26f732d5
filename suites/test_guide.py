"""What the guide tells people to copy: links that lead somewhere, actions that are pinned, an example that runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import parity
from parity.backends.torchao_package import quiet_import, unusable
from parity.cli.app import app
from parity.foreign import HOME
from parity.verdicts import Verdict
from quant.presets import int8_dynamic_intx_weight

GUIDE = HOME / "docs" / "guide"
WORKFLOWS = sorted((GUIDE / "workflows").glob("*.yml"))


@pytest.mark.parametrize("page", sorted(GUIDE.rglob("*.md")), ids=lambda page: str(page.relative_to(GUIDE)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.stem)
def test_actions_are_pinned_by_commit_with_their_version_beside_it(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.stem)
def test_commands_of_a_workflow_are_commands_and_options_of_parity(workflow: Path) -> None:
    text = re.sub(r"\\\n\s*", "", workflow.read_text())
    known = {command.name for command in app.registered_commands}
    called = re.findall(r"(?:^|\s|/)parity (\w+)((?: --?\w[\w-]*(?: [^-\n][^\n ]*)?)*)", text)
    assert called or "--parity-report" in text
    for name, options in called:
        if name not in known:
            continue
        accepted = _options_of(name)
        assert set(re.findall(r" (--[a-z-]+)", options)) <= accepted, (name, options)


def _options_of(name: str) -> set[str]:
    command: Any = typer.main.get_command(app)
    return {option for parameter in command.commands[name].params for option in parameter.opts}


@pytest.mark.filterwarnings("ignore:Deprecation. TorchAODType")
def test_the_third_partys_backend_parts_where_the_guide_says_it_does() -> None:
    """torchao 0.18's PTQ keeps the activation's scale in the model's dtype; its converted QAT model does not."""
    reason = unusable()
    if reason is not None:
        pytest.skip(f"unrun: {reason}")
    path = GUIDE / "third_party" / "their_torchao.py"
    spec = importlib.util.spec_from_file_location("their_torchao", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    with quiet_import():
        spec.loader.exec_module(module)
    lanes = [parity.lane(module.Their8da4w(), flow=flow) for flow in ("ptq", "qat_convert")]
    scheme = int8_dynamic_intx_weight(bits=4, group_size=32, rules="torchao")
    record = parity.compare(*lanes, scheme, dtype=torch.bfloat16, inputs="random")
    assert (record.verdict, record.first_stage) == (Verdict.DIVERGED, "input.scale")
    assert parity.explain(record).cause == "scheme.scale_dtype: bfloat16 against float32"
    readme = (GUIDE / "third_party" / "README.md").read_text()
    assert "`scheme.scale_dtype: bfloat16 against float32`" in readme
