"""PARQ: training by proximal steps, in which weights are drawn to the values that their scheme can represent.

    pull = PiecewiseAffine(schedule=Schedule(start=0, end=100))
    optimizer = ProximalOptimizer(SGD(model.parameters(), 0.1), schemes_of(model, scheme.weight), pull)
    loss.backward(); optimizer.step(); ...; optimizer.convert(model, scheme)

Jin et al., "PARQ: piecewise-affine regularized quantization", 2025. Quantizers are schemes, and their arithmetic is the
one path; what is added here is where weights move between two levels.
"""

from quant.parq.grids import max_unif, ternary, unif
from quant.parq.levels import Levels, levels_of
from quant.parq.lookup_table import LookupTable, lookup_table
from quant.parq.optimizer import ProximalOptimizer, schemes_of
from quant.parq.proximal import BinaryRelax, HardQuantization, PiecewiseAffine, ProximalMap
from quant.parq.schedule import Schedule

__all__ = [
    "BinaryRelax",
    "HardQuantization",
    "Levels",
    "LookupTable",
    "PiecewiseAffine",
    "ProximalMap",
    "ProximalOptimizer",
    "Schedule",
    "levels_of",
    "lookup_table",
    "max_unif",
    "schemes_of",
    "ternary",
    "unif",
]
