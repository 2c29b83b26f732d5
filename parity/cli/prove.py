"""`parity prove [RULE ...]`: whether two ways to quantize agree on every operand there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parity.cli.arguments import RUNS, Json
from parity.cli.terminal import say, say_json, table
from parity.exit_codes import ExitCode
from parity.proof import FOLDER, Proof, read_proofs, write_proof
from parity.whole_file import StoreError

if TYPE_CHECKING:
    from parity.proving.claim import Claim

EXAMPLES = """\b
Examples:
  parity prove                                           what the engine claims of itself
  parity prove code_division=reciprocal_multiply reciprocal_dtype=code --against engine
  parity prove code_dtype=float64 --dtype fp16 --bits 8 --zero-point all
  parity prove torchao --against stored --step fake_quantize --domain none
  parity prove torchao --against backend:torchao         the set against the package itself
  parity prove rescale_dtype=float64 --step dequantize --against engine --zero-point all
  parity prove engine --dtype fp32 --at-scale 0x1.8p-3   all 4,278,190,080 finite inputs
  parity prove engine --against fused --step round_trip  a fused kernel, on every group of two
  parity prove --list                                    the proofs of the newest run
"""


def prove_rules(
    rules: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RULE ...]", help="FIELD=VALUE of Rules, and at most one rule set; none: the engine."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="SET[,FIELD=VALUE]|oracle|stored|fused|backend:NAME",
            help="The other party; engine where RULE is a field.",
        ),
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="quantize, fake_quantize, dequantize, choose_qparams or round_trip.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="DTYPE,...", help="bf16, fp16, fp32 (with --at-scale): of the input.")
    ] = None,
    scale: Annotated[str | None, typer.Option(metavar="DTYPE", help="Of the stored scale; else the input's.")] = None,
    at_scale: Annotated[
        str | None,
        typer.Option(metavar="S,...", help="These scales alone, 0x1.8p-3 or 0.1875; else every positive one."),
    ] = None,
    domain: Annotated[str | None, typer.Option(metavar="DOMAIN,...", help="int, float, none.")] = None,
    bits: Annotated[str | None, typer.Option(metavar="N,...", help="Bits of the codes.")] = None,
    zero_point: Annotated[
        str | None, typer.Option(metavar="Z,...|telling|all", help="Codes; telling is both ends, -1, 0 and 1.")
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="Of choose_qparams: symmetric, asymmetric, ...")] = None,
    beside: Annotated[
        str | None, typer.Option(metavar="V,...", help="Of round_trip: what shares a group of two with every input.")
    ] = None,
    tier: Annotated[str, typer.Option(help="premerge or nightly: how much of a rule set's own claims.")] = "premerge",
    device: Annotated[str, typer.Option(help="cpu, cuda, or cuda:triton for the fused kernel.")] = "cpu",
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="The run to keep the proofs in; else the newest one.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="List the proofs that the run holds; prove nothing.")
    ] = False,
    as_json: Json = False,
) -> ExitCode:
    """Hold every operand against a claim, and keep the proof or the refutation. Exits 1 when one is refuted.

    A RULE that is a field is tried on the rule set it is held against; a rule set alone is held against the oracle.
    16-bit inputs meet every scale, all of fp32's a few scales.
    """
    directory = _directory(run)
    if only_list:
        return _told(tuple(read_proofs(directory)), directory, as_json)
    from parity.cli.claim_choice import chosen_claims

    claims = chosen_claims(
        rules or (),
        against=against,
        tier=tier,
        step=step,
        dtype=dtype,
        scale=scale,
        at_scale=at_scale,
        beside=beside,
        domain=domain,
        bits=bits,
        zero_point=zero_point,
        mapping=mapping,
    )
    proofs = []
    for claim, proof in _proved(claims, device, quiet=as_json):
        write_proof(directory, proof)
        proofs.append(proof)
        if not as_json:
            say(f"{claim.id}", f"  {proof.sentence}", f"  {proof.domain}; {proof.seconds:.1f} s on {proof.device}")
    if as_json:
        return _told(tuple(proofs), directory, as_json)
    say(f"kept in {directory / FOLDER}: {len(proofs)}")
    return _code(proofs)


def _directory(given: Path | None) -> Path:
    """The run that was named, the newest, or ./runs itself where there is none yet."""
    if given is not None:
        return given
    from parity.store import newest_run

    try:
        return newest_run(RUNS)
    except StoreError:
        return RUNS


def _told(proofs: Sequence[Proof], directory: Path, as_json: bool) -> ExitCode:
    if as_json:
        facts = [{**asdict(proof), "proved": proof.proved, "sentence": proof.sentence} for proof in proofs]
        say_json({"run": str(directory), "proofs": facts})
    elif proofs:
        rows = [
            (
                "proved" if proof.proved else "refuted",
                f"{proof.n_different:,}",
                f"{proof.pairs:,}",
                proof.device,
                proof.claim,
            )
            for proof in proofs
        ]
        say(*table(rows, ("", "differ", "of", "on", "claim")))
    else:
        say(f"{directory} holds no proofs; `parity prove` makes some")
    return _code(proofs)


def _code(proofs: Sequence[Proof]) -> ExitCode:
    return ExitCode.PARITY if all(proof.proved for proof in proofs) else ExitCode.DIVERGED


def _proved(claims: Sequence[Claim], device: str, *, quiet: bool) -> Iterator[tuple[Claim, Proof]]:
    from parity.proving.prove import prove

    with _bar(len(claims), quiet=quiet) as begun:
        for claim in claims:
            yield claim, prove(claim, device=device, progress=begun(claim.id))


@contextmanager
def _bar(n_claims: int, *, quiet: bool) -> Iterator[Callable[[str], Callable[[int, int], None] | None]]:
    """begun(name) = what to tell (slices done, slices in all) of one claim; None where stderr is no terminal."""
    import sys

    if quiet or not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        every: Any = bar.add_task("claims", total=n_claims)
        one: Any = bar.add_task("")

        def begun(name: str) -> Callable[[int, int], None]:
            def show(done: int, total: int) -> None:
                bar.update(one, description=name, completed=done, total=total)
                if done == total:
                    bar.advance(every)

            return show

        yield begun
