"""A lane's text reads back as the lane; edges are declared pairs, and no cell holds all of its lanes together."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.axes import AXES
from parity.backends.names import EPOCHS
from parity.burn_cells import PAIRS
from parity.cells import Cell, cell_at, illegal_reason
from parity.edges import Edge, edges_of
from parity.lanes import DEVICES, MODES, Flow, Lane, lane, parse_lane
from parity.matrix import plan

CELLS = st.fixed_dictionaries({name: st.sampled_from(axis.values) for name, axis in AXES.items()}).map(cell_at)

# --- lanes --------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"\A[a-z0-9_]{1,12}\Z")
LANES = st.builds(
    Lane,
    backend=NAMES,
    flow=st.sampled_from(Flow),
    device=st.sampled_from(DEVICES),
    mode=st.sampled_from(MODES),
    rules=st.none() | NAMES,
)


@given(LANES)
def test_a_lane_reads_back(named: Lane) -> None:
    assert parse_lane(str(named)) == named
    assert lane(str(named)) == lane(named) == named


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("engine:ptq", "engine:ptq"),
        ("engine:ptq:cpu", "engine:ptq"),
        ("engine:ptq:cpu:eager", "engine:ptq"),
        ("engine.torchao:qat_prepare:cuda:eager", "engine.torchao:qat_prepare:cuda"),
        ("engine:qat_convert:cpu:compiled", "engine:qat_convert:cpu:compiled"),
    ],
)
def test_defaults_are_left_out_of_a_lane(text: str, canonical: str) -> None:
    assert str(parse_lane(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a lane; write backend[.rules]:flow[:device[:mode]], for example engine:ptq"),
        ("engine", "'engine' is not a lane; write backend"),
        ("engine:ptq:cpu:eager:1", "is not a lane; write backend"),
        ("engine:", "names the flow ''; flows are ptq, qat_prepare, qat_convert"),
        ("engine:PTQ", "names the flow 'PTQ'; flows are"),
        ("engine:ptq:tpu", "the lane's device is 'tpu'; devices are cpu, cuda, xpu, mps"),
        ("engine:ptq:", "the lane's device is ''; devices are"),
        ("engine:ptq:cpu:fast", "the lane's mode is 'fast'; modes are eager, compiled, exported, fused, triton"),
        (":ptq", "the lane's backend is ''; names are made of a-z, 0-9 and _"),
        ("Engine:ptq", "the lane's backend is 'Engine'; names"),
        ("engine.torch-ao:ptq", "the lane's rules is 'torch-ao'; names"),
        ("engine.a.b:ptq", "the lane's rules is 'a.b'; names"),
        ("engine:ptq~engine:qat_convert", "names the flow 'ptq~engine'; flows are"),
        ("engine\n:ptq", r"the lane's backend is 'engine\n'; names"),
        ("engine:ptq\n", r"names the flow 'ptq\n'; flows are"),
        ("<b>:ptq", "the lane's backend is '<b>'; names"),
    ],
)
def test_what_is_no_lane_is_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as raised:
        parse_lane(text)
    assert message in str(raised.value)


def test_a_lane_is_asked_for_by_its_text_and_changed_by_keywords() -> None:
    assert lane("engine") == lane("engine:ptq") == Lane(backend="engine", flow=Flow.PTQ)
    assert str(lane("engine:ptq", flow="qat_convert", device="cuda", rules="torchao")) == (
        "engine.torchao:qat_convert:cuda"
    )
    assert str(lane("engine").on("cuda")) == "engine:ptq:cuda"


# --- edges --------------------------------------------------------------------------------------------------------


def ends(edge: Edge) -> frozenset[Lane]:
    return frozenset((edge.a, edge.b))


@given(CELLS)
def test_edges_are_declared_pairs_each_once(cell: Cell) -> None:
    edges = edges_of(cell)
    assert edges
    assert len({ends(edge) for edge in edges}) == len(edges) == len({str(edge) for edge in edges})
    for edge in edges:
        assert edge.a != edge.b
        assert edge.why
        assert [parse_lane(text) for text in str(edge).split("~")] == [edge.a, edge.b]


@given(CELLS)
def test_the_engines_triangle_is_judged_on_every_cell(cell: Cell) -> None:
    own = {Lane(backend="engine", flow=flow, device=cell["device"]) for flow in Flow}
    assert {frozenset(pair) for pair in combinations(own, 2)} <= {ends(edge) for edge in edges_of(cell)}


@given(CELLS)
def test_never_all_pairs(cell: Cell) -> None:
    """Two rule sets but Burn's, and the differing flows of two backends or devices, are never held together."""
    edges = edges_of(cell)
    lanes = {named for edge in edges for named in ends(edge)}
    assert len(lanes) == 3 or len(edges) < len(lanes) * (len(lanes) - 1) / 2
    for edge in edges:
        if edge.a.device != edge.b.device:
            assert edge.a == edge.b.on(edge.a.device)
        if edge.a.backend == edge.b.backend:
            assert edge.a.rules == edge.b.rules or {(edge.a.rules, edge.b.rules)} & {*PAIRS}
        if "engine" in (edge.a.backend, edge.b.backend) and edge.a.backend != edge.b.backend:
            assert edge.a.flow is edge.b.flow


@given(CELLS)
def test_an_illegal_cell_is_the_engines_alone(cell: Cell) -> None:
    backends = {named.backend for edge in edges_of(cell) for named in ends(edge)}
    if illegal_reason(cell) is not None or cell["device"] in ("xpu", "mps"):
        assert backends == {"engine"}
    elif cell["device"] == "cuda":
        assert backends <= {"engine", "torchao"}
    assert all(named.device in ("cpu", cell["device"]) for edge in edges_of(cell) for named in ends(edge))


def test_the_default_cell_meets_torchao_under_its_own_rules() -> None:
    edges = {str(edge) for edge in edges_of(cell_at({}))}
    assert "torchao:ptq~engine.torchao:ptq" in edges
    assert not [edge for edge in edges if "torchao:" in edge.split("~")[0] and edge.endswith("~engine:ptq")]


def test_on_cuda_torchao_meets_itself_on_cpu_and_the_engine_under_the_rules_it_follows_there() -> None:
    edges = {str(edge) for edge in edges_of(cell_at({"device": "cuda"})) if "torchao" in str(edge)}
    assert edges == {
        pair
        for flow in Flow
        for pair in (f"torchao:{flow}~torchao:{flow}:cuda", f"torchao:{flow}:cuda~engine.torchao_cuda:{flow}:cuda")
    }
    for trained in ({"steps": "1"}, {"grad": "yes"}):
        assert not [edge for edge in map(str, edges_of(cell_at({"device": "cuda", **trained}))) if "torchao" in edge]


def test_the_legacy_quantizer_is_held_to_the_rules_where_it_follows_them() -> None:
    """It puts float32 and 2**-23 for the activation, as int8_dynamic_int4_weight declares and torchao does not."""
    held = "torchao_8da4w:qat_prepare~engine.torchao:qat_prepare"
    declared = cell_at({"preset": "int8_dynamic_int4_weight"})
    assert held in map(str, edges_of(declared))
    left_to_torchao = {*map(str, edges_of(cell_at({})))}
    assert held not in left_to_torchao
    assert "torchao_8da4w:qat_prepare~torchao_8da4w:qat_convert" in left_to_torchao


def test_graphs_and_mechanisms_are_compared_where_bfloat16_is_all_that_is_asked_for() -> None:
    half = {str(edge) for edge in edges_of(cell_at({"dtype": "bf16"}))}
    for flow in Flow:
        assert f"engine:{flow}~engine:{flow}:cpu:exported" in half
    assert "engine:qat_prepare~engine:qat_prepare:cpu:fused" in half
    assert "engine:qat_prepare~engine_subclass:qat_prepare" in half
    assert not [edge for edge in map(str, edges_of(cell_at({}))) if "exported" in edge or "subclass" in edge]
    assert "engine:qat_prepare~engine_subclass:qat_prepare" in map(str, edges_of(cell_at({"grad": "yes"})))
    assert not [edge for edge in map(str, edges_of(cell_at({"grad": "yes", "act": "static"}))) if "subclass" in edge]


def test_the_plan_reaches_every_kind_of_edge() -> None:
    shapes = {
        (edge.a.backend, edge.b.backend, edge.a.device == edge.b.device) for c in plan().cells for edge in edges_of(c)
    }
    assert shapes == {
        ("engine", "engine", True),
        ("engine", "engine", False),
        ("engine", "engine_subclass", True),
        ("aten_int4", "engine", True),
        ("torchao_parq", "torchao_parq", True),
        ("torchao_parq", "engine", True),
        ("torchao", "torchao", True),
        ("torchao", "torchao", False),
        ("torchao", "engine", True),
        ("torchao_8da4w", "torchao_8da4w", True),
        ("torchao_8da4w", "engine", True),
        ("torchao", "torchao_8da4w", True),
        *((epoch, epoch, True) for epoch in EPOCHS),
    }
