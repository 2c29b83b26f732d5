"""Under quant.fused() on the CPU every stage and gradient has the bits of the plain path, or is the plain path.

A graph costs about two seconds to compile, so a handful is compiled here and the rest nightly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import quant
from kernels import compiled as machine_code
from kernels.availability import missing
from kernels.machine import this_machine
from quant import TensorScheme, compiled_rows
from quant.compiled_rows import FusedWarning
from quant.fake import fake_operand, quantized_operand
from quant.fused import covered
from quant.granularity import PerGroup, groups_of
from quant.presets import int4_weight_only, int8_dynamic_int4_weight, int8_dynamic_intx_weight
from suites.directed_groups import FLOATS, SIZE, directed, same_bits

needs_compiler = pytest.mark.skipif(missing("cpu", "fused") is not None, reason=str(missing("cpu", "fused")))
GROUPS = PerGroup(SIZE)


def activation(**values: object) -> TensorScheme:
    scheme = int8_dynamic_int4_weight().activation
    assert scheme is not None
    return replace(scheme, granularity=GROUPS, **values)


def weight(**values: object) -> TensorScheme:
    return replace(int8_dynamic_intx_weight(bits=4).weight, granularity=GROUPS, **values)


FEW = {
    "int4 fp32": (weight(), torch.float32),
    "int8 bf16, scales in bf16": (activation(scale_dtype=torch.bfloat16), torch.bfloat16),
    "int8 fp16": (activation(), torch.float16),
    "float domain bf16": (replace(int4_weight_only().weight, granularity=GROUPS), torch.bfloat16),
}
ALL = {
    f"{name} {dtype} {scale}": (replace(scheme, scale_dtype=scale), dtype)
    for name, scheme in {
        "int2": replace(int8_dynamic_intx_weight(bits=2).weight, granularity=GROUPS),
        "int4": weight(),
        "no clipping": weight(mapping=quant.Mapping.SYMMETRIC_NO_CLIPPING),
        "int8": activation(),
        "int8 without zero": activation(preserve_zero=False),
        "float domain": FEW["float domain bf16"][0],
    }.items()
    for dtype in FLOATS
    for scale in FLOATS
}


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """What was compiled in a test, or not, is no other's; a plain path that nobody asked for is an error."""
    compiled_rows._graphs.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FusedWarning)
        yield
    compiled_rows._graphs.cache_clear()


def stages(x: Tensor, scheme: TensorScheme) -> dict[str, Tensor | None]:
    """What prepare computes of x, and the gradient that it lets through."""
    given = x.clone().requires_grad_()
    operand = fake_operand(given, scheme)
    operand.dequantized.backward(torch.linspace(-2, 3, x.numel(), dtype=x.dtype).reshape(x.shape))
    return {
        "scale": operand.qparams.scale,
        "zero point": operand.qparams.zero_point,
        "codes": operand.codes,
        "dequantized": operand.dequantized.detach(),
        "gradient": given.grad,
    }


def unlike(x: Tensor, scheme: TensorScheme) -> list[str]:
    """The stages in which the fused path differs from the plain one."""
    plain = stages(x, scheme)
    with quant.fused():
        fused = stages(x, scheme)
    return [name for name, value in plain.items() if not same_bits(value, fused[name])]


@needs_compiler
@pytest.mark.parametrize("name", FEW)
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, on importing inductor
def test_every_stage_and_gradient_is_that_of_the_plain_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no step leaves the vectors, which inductor takes apart, in a buffer, where it knows no operation of them."""
    code: list[str] = []
    monkeypatch.setattr("torch._inductor.graph.GraphLowering.save_output_code", staticmethod(code.append))
    scheme, dtype = FEW[name]
    with torch._inductor.config.patch(force_disable_caches=True):
        assert unlike(directed(scheme, dtype, finite=False), scheme) == []
    assert code
    assert any("tmpbuf" in text for text in code) == (name == "float domain bf16")  # rounds to odd, on bits of float64


@pytest.mark.nightly
@needs_compiler
@pytest.mark.parametrize("name", ALL)
def test_of_every_scheme_every_stage_is_that_of_the_plain_path(name: str) -> None:
    scheme, dtype = ALL[name]
    x = directed(scheme, dtype, finite=False)
    assert covered(scheme.resolved(dtype), dtype, groups_of(GROUPS, tuple(x.shape)))
    assert unlike(x, scheme) == []
    for compute in (lambda: quant.fake_quantize(x, scheme), lambda: quantized_operand(x, scheme).dequantized):
        plain = compute()
        with quant.fused():
            assert same_bits(compute(), plain)


@needs_compiler
def test_one_graph_serves_any_number_of_rows_in_any_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme, dtype = FEW["int4 fp32"]
    x = directed(scheme, dtype, finite=False)
    with quant.fused():
        quant.fake_quantize(x, scheme)
    monkeypatch.setattr(compiled_rows, "compiled", None)  # nothing is compiled from here on
    given = [x[:n] for n in (1, 2, 3, 17, 64)]
    given += [x[1::2], x[:64].reshape(4, 16, SIZE), x[:64].reshape(8, 8, SIZE).mT.contiguous().mT, x[:8].reshape(1, -1)]
    for one in given:
        plain = quant.fake_quantize(one, scheme)
        with quant.fused():
            assert same_bits(quant.fake_quantize(one, scheme), plain), tuple(one.shape)


@needs_compiler
def test_a_graph_runs_on_as_many_threads_as_there_are_then() -> None:
    scheme, dtype = FEW["int4 fp32"]
    x = torch.cat([directed(scheme, dtype, finite=False)] * 16)
    plain, threads = quant.fake_quantize(x, scheme), torch.get_num_threads()
    with quant.fused():
        try:
            for n in (1, 2, 3):
                torch.set_num_threads(n)
                assert same_bits(quant.fake_quantize(x, scheme), plain)
        finally:
            torch.set_num_threads(threads)


# --- where there is no machine code -------------------------------------------------------------------------------


def left(match: str, name: str = "int4 fp32") -> None:
    """The plain path was taken, and a warning says why."""
    scheme, dtype = FEW[name]
    x = directed(scheme, dtype, finite=False)
    with quant.fused(), pytest.warns(FusedWarning, match=match):
        fused = quant.fake_quantize(x, scheme)
    assert same_bits(fused, quant.fake_quantize(x, scheme))


def test_without_a_compiler_the_plain_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_rows, "_choice", compiled_rows._choice.__wrapped__)
    monkeypatch.setattr("kernels.availability.this_machine", lambda: replace(this_machine(), compiler=None))
    left(r"^quant.fused\(\) leaves an operand to the plain path: no C\+\+ compiler, which torch.compile needs on cpu$")


def test_where_the_compiler_fails_the_plain_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError("no room\nfor a file")

    monkeypatch.setattr(compiled_rows, "_choice", compiled_rows._choice.__wrapped__)
    monkeypatch.setattr(machine_code, "missing", lambda *_: None)
    monkeypatch.setattr(machine_code, "_compiled", failing)
    left(r"the compiler failed with OSError: no room$")


@pytest.mark.parametrize("moved", ["one ulp", "a sign of zero"])
def test_code_with_other_bits_is_never_run(monkeypatch: pytest.MonkeyPatch, moved: str) -> None:
    def wrong(function: machine_code.Function, examples: tuple[Tensor, ...]) -> machine_code.Function:
        def graph(*tensors: Tensor) -> tuple[Tensor, ...]:
            first, *rest = function(*tensors)
            at = (first != 0).nonzero()[0] if moved == "one ulp" else (first == 0).nonzero()[0]
            first[tuple(at)] = -0.0 if moved == "a sign of zero" else first[tuple(at)].nextafter(torch.tensor(9.0))
            return first, *rest

        return graph if "apply" in function.__qualname__ else function

    monkeypatch.setattr(compiled_rows, "_choice", compiled_rows._choice.__wrapped__)
    monkeypatch.setattr(machine_code, "missing", lambda *_: None)
    monkeypatch.setattr(machine_code, "_compiled", wrong)
    left("compiled code has other bits than eager code in result 0$")


@needs_compiler
def test_a_compiler_that_drops_a_cast_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself it computes the zero point from a scale that was never rounded to bfloat16."""
    monkeypatch.setattr(compiled_rows, "_choice", compiled_rows._choice.__wrapped__)
    monkeypatch.setattr(machine_code, "_OPTIONS", {**machine_code._OPTIONS, "emulate_precision_casts": False})
    left("compiled code has other bits than eager code in result 1$", "int8 bf16, scales in bf16")


def test_outside_fused_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_rows, "compiled", None)
    scheme, dtype = FEW["int4 fp32"]
    x = directed(scheme, dtype)
    quant.fake_quantize(x, scheme)
    with quant.fused(), quant.fused(False):
        quant.fake_quantize(x, scheme)
    with quant.fused():
        quant.fake_quantize(x, int8_dynamic_int4_weight(rules="torchao").weight)
