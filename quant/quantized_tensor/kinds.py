"""What each of torch's operations does with codes: a kind for every name, as data.

The operations are Burn's of #3042 under torch's names; what has no row computes on dequantized values and stays float.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """What an operation does with codes, and what its result is."""

    ATTRIBUTE = "attribute"  # asks about the tensor, not about its values
    LAYOUT = "layout"  # moves codes, each with its scale; computes nothing
    DEVICE = "device"  # the same codes and scales on another device; another dtype is float
    COPY = "copy"  # the codes and scales of another tensor of the same scheme, written in place
    REQUANTIZE = "requantize"  # dequantizes, computes and quantizes by the operand's scheme, whatever the propagation
    PROPAGATE = "propagate"  # the same under PROPAGATE; float under INHIBIT
    PRODUCT = "product"  # a matrix product under ProductRules, then as PROPAGATE
    INDEX = "index"  # integers, from dequantized values
    BOOL = "bool"  # truth values, from dequantized values
    FLOAT = "float"  # float, from dequantized values, whatever the propagation
    REFUSE = "refuse"  # writes in place


_ROWS: Final = {
    Kind.ATTRIBUTE: """
        shape size dim ndim ndimension numel nelement dtype device layout stride storage_offset is_contiguous
        is_floating_point is_complex is_signed is_cpu is_cuda is_mps is_xla is_meta is_sparse is_sparse_csr is_mkldnn
        is_quantized is_nested is_conj is_neg is_leaf is_inference itemsize nbytes element_size get_device
        untyped_storage data_ptr is_shared is_distributed
        requires_grad requires_grad_ grad grad_fn retains_grad output_nr _version _is_view _base _backward_hooks
        __len__ __hash__
    """,
    Kind.LAYOUT: """
        reshape reshape_as view view_as flatten unflatten ravel squeeze unsqueeze expand expand_as broadcast_to
        transpose swapaxes swapdims t T mT permute movedim moveaxis flip fliplr flipud
        select index_select narrow chunk split split_with_sizes tensor_split hsplit vsplit unbind __getitem__
        clone contiguous detach data
    """,
    Kind.DEVICE: "to cpu cuda",
    Kind.COPY: "copy_",
    Kind.REQUANTIZE: """
        gather take_along_dim repeat tile repeat_interleave abs absolute __abs__ cat concat concatenate stack sort
        max min amax amin topk
    """,
    Kind.PROPAGATE: """
        add __add__ __radd__ sub subtract rsub __sub__ __rsub__ mul multiply __mul__ __rmul__
        div divide true_divide __truediv__ __div__ __rtruediv__ __rdiv__ pow __pow__ __rpow__ square
        neg negative __neg__ reciprocal clamp clip clamp_min clamp_max sum prod mean exp log log1p sqrt
        cos sin tan cosh sinh tanh erf cumsum cumprod cummin cummax
    """,
    Kind.PRODUCT: "matmul __matmul__ __rmatmul__ mm bmm mv dot linear",
    Kind.INDEX: "argmax argmin argsort nonzero argwhere count_nonzero",
    Kind.BOOL: """
        eq ne lt le gt ge __eq__ __ne__ __lt__ __le__ __gt__ __ge__ not_equal less less_equal greater greater_equal
        equal any all isnan isinf isfinite isposinf isneginf signbit isclose allclose
        logical_not logical_and logical_or logical_xor
    """,
    Kind.FLOAT: """
        remainder fmod __mod__ __rmod__ floor_divide __floordiv__ __rfloordiv__ scatter scatter_add scatter_reduce
        select_scatter slice_scatter index_put index_add index_copy index_fill masked_fill masked_scatter where
        maximum minimum floor ceil round trunc float half bfloat16 double
    """,
    Kind.REFUSE: "__setitem__ __set__ __iadd__ __isub__ __imul__ __itruediv__ __idiv__ __ifloordiv__ __imod__ __ipow__",
}
OPERATIONS: Final = MappingProxyType({name: kind for kind, names in _ROWS.items() for name in names.split()})

# What no release had a quantized version of before it joined the table above.
LATER: Final = ("topk", "cumsum", "cumprod", "cummin", "cummax")
