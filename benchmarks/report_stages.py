"""Made-up stages: equal up to the first divergent one, then each later one differs in bits that its dtype can hold."""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from parity.formats import FLOATS, INTEGERS
from parity.record import STAGES, ByStage, Element, LaneStage, StageDiff

# rows x columns of the weight, and rows of the input; groups of 32.
_SHAPES = {
    "input.scale": (8, 1),
    "input.zero_point": (8, 1),
    "input.codes": (8, 64),
    "input.dequantized": (8, 64),
    "weight.scale": (32, 2),
    "weight.zero_point": (32, 2),
    "weight.codes": (32, 64),
    "weight.packed": (32, 32),
    "weight.dequantized": (32, 64),
    "output.scale": (1, 1),
    "output.zero_point": (1, 1),
    "output.codes": (8, 32),
    "output": (8, 32),
    "grad.input": (8, 64),
    "grad.weight": (32, 64),
}

_FULL_NAME = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp64": "float64"}

_BINS = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How bad a divergence is where it starts: the share of elements, and the largest distance."""

    share: float
    max_ulp: int


LEVELS = (
    Level(share=0.0, max_ulp=1),
    Level(share=0.08, max_ulp=1),
    Level(share=0.3, max_ulp=6),
    Level(share=0.7, max_ulp=900),
    Level(share=1.0, max_ulp=8000),
)


def dtypes(values: dict[str, str]) -> dict[str, str]:
    """stage -> dtype for a cell of these axis values."""
    model = _FULL_NAME[values["dtype"]]
    scale = {"preset": "float32", "model": model}.get(values["scale"]) or _FULL_NAME[values["scale"]]
    kinds = {"scale": scale, "zero_point": "int8", "codes": "int8", "packed": "uint8"}
    return {stage: kinds.get(stage.split(".")[-1], model) for stage in STAGES}


def lane_stages(values: dict[str, str], digest: int) -> ByStage[LaneStage]:
    """Every stage of one lane; its digests follow from the number given."""
    kinds = dtypes(values)
    return ByStage(
        LaneStage(
            stage=stage,
            dtype=kinds[stage],
            computed="float32",
            shape=_SHAPES[stage],
            digest=f"{digest * (2 * i + 1) % 2**64:016x}",
        )
        for i, stage in enumerate(STAGES)
    )


def diverging_stages(values: dict[str, str], first: str, level: int, random: Random) -> list[StageDiff]:
    """The stages of a pair: those before `first` equal, those from it on different, less or more than at `first`."""
    start = STAGES.index(first)
    kinds = dtypes(values)
    diffs = []
    share, largest = LEVELS[level].share, LEVELS[level].max_ulp
    for i, stage in enumerate(STAGES):
        if i < start:
            diffs.append(_equal(stage, kinds[stage]))
            continue
        diffs.append(_different(stage, kinds[stage], share, largest, random))
        if i > start:
            share, largest = min(1.0, share * random.choice((0.6, 1.4))), max(1, largest // random.choice((1, 2)))
    return diffs


@lru_cache(maxsize=256)
def _equal(stage: str, dtype: str) -> StageDiff:
    shape = _SHAPES[stage]
    total = shape[0] * shape[1]
    return StageDiff(
        stage=stage,
        dtype_a=dtype,
        dtype_b=dtype,
        shape_a=shape,
        shape_b=shape,
        n_total=total,
        n_different=0,
        max_ulp=0,
        first_index=None,
        first=None,
        worst=(),
        histogram=(total, *[0] * (_BINS - 1)),
        sqnr_db=None,
    )


def _different(stage: str, dtype: str, share: float, largest: int, random: Random) -> StageDiff:
    shape = _SHAPES[stage]
    total = shape[0] * shape[1]
    count = max(1, int(total * share))
    if dtype in INTEGERS:
        largest = min(largest, 7)
    largest = min(largest, 1 << (_width(dtype) - 3))
    distances = sorted((random.randint(1, largest) for _ in range(min(count, 8) - 1)), reverse=True)
    worst = tuple(_element(shape, dtype, ulp, random) for ulp in (largest, *distances))
    histogram = [total - count, *[0] * (_BINS - 1)]
    for element in worst:
        histogram[(element.ulp or 0).bit_length()] += 1
    for bit in range(largest.bit_length()):
        histogram[bit + 1] += (count - len(worst)) // largest.bit_length()
    histogram[1] += total - sum(histogram)
    first = min(worst, key=lambda element: element.index)
    return StageDiff(
        stage=stage,
        dtype_a=dtype,
        dtype_b=dtype,
        shape_a=shape,
        shape_b=shape,
        n_total=total,
        n_different=count,
        max_ulp=largest,
        first_index=first.index,
        first=first,
        worst=worst,
        histogram=tuple(histogram),
        sqnr_db=round(random.uniform(20, 90), 3),
    )


def _element(shape: tuple[int, ...], dtype: str, ulp: int, random: Random) -> Element:
    """A pattern and the one `ulp` steps above or below it."""
    index = tuple(random.randrange(size) for size in shape)
    width = _width(dtype)
    if dtype in INTEGERS:
        a = random.randint(-8, 0)
        return Element(index=index, bits_a=a % (1 << width), bits_b=(a + ulp) % (1 << width), ulp=ulp)
    form = FLOATS[dtype]
    middle = form.bias << form.mantissa_bits
    a = random.randint(middle // 2, middle + (middle >> 4))
    sign = random.getrandbits(1) << (width - 1)
    b = a + ulp if a < ulp or random.getrandbits(1) else a - ulp
    return Element(index=index, bits_a=sign | a, bits_b=sign | b, ulp=ulp)


def _width(dtype: str) -> int:
    return (FLOATS.get(dtype) or INTEGERS[dtype]).width
