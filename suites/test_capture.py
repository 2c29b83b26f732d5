"""capture writes what the layers of a model hold and met, and leaves the model as it was."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import parity
from parity.capture import ROOT, Captured
from parity.tensor_file import TensorFile
from parity.weights import Kind, Source
from parity.whole_file import StoreError


class Small(nn.Module):
    """An embedding, a dense layer that is called twice, a head tied to the table, and a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.dense = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.table.weight
        self.idle = nn.Linear(2, 3)
        self.fails = False

    def forward(self, indices: Tensor, offset: float = 0.0) -> Tensor:
        if self.fails:
            raise RuntimeError("half-way")
        first = self.dense(self.dropout(self.table(indices)) + offset)
        found: Tensor = self.head(self.dense(first))
        first.zero_()  # what was captured is not a view of it
        return found


def captured(model: nn.Module, batch: object, path: Path, rows: int = 64) -> tuple[Captured, dict[str, Tensor]]:
    """What was said, and what was written."""
    done = parity.capture(model, batch, path / "captured.safetensors", rows=rows)
    return done, load_file(done.file)


def test_weights_biases_and_first_inputs_are_written(tmp_path: Path) -> None:
    model, indices = Small(), torch.tensor([[6, 0, 1], [2, 2, 5]])
    done, tensors = captured(model, indices, tmp_path)
    assert done.layers == ("table", "dense", "head", "idle")
    assert sorted(tensors) == [
        "dense.bias",
        "dense.input",
        "dense.weight",
        "head.input",
        "head.weight",
        "idle.bias",
        "idle.weight",
        "table.input",
        "table.weight",
    ]
    for name, parameter in model.named_parameters(remove_duplicate=False):
        assert torch.equal(tensors[name], parameter)
    rows = model.table(indices.flatten())
    assert torch.equal(tensors["table.input"], indices.flatten())
    assert torch.equal(tensors["dense.input"], rows)
    assert torch.equal(tensors["head.input"], model.dense(model.dense(rows)))


def test_what_a_name_does_not_tell_is_said(tmp_path: Path) -> None:
    done, _ = captured(Small(), torch.tensor([1]), tmp_path)
    assert done.sentences == (
        "dense was called 2 times; its first input is written.",
        "head has the weight of table; it is written under both names.",
        "idle was not called; it is written without an input.",
    )


@pytest.mark.parametrize("batch", [{"indices": torch.tensor([3]), "offset": 1.0}, (torch.tensor([3]), 1.0)])
def test_a_batch_may_be_a_mapping_or_a_tuple(tmp_path: Path, batch: object) -> None:
    model = Small()
    _, tensors = captured(model, batch, tmp_path)
    assert torch.equal(tensors["dense.input"], model.table(torch.tensor([3])) + 1.0)


def test_an_input_given_by_keyword_is_met(tmp_path: Path) -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.dense(input=x)
            return found

    _, tensors = captured(Keyword(), torch.ones(1, 2), tmp_path)
    assert tensors["dense.input"].tolist() == [[1.0, 1.0]]


def test_at_most_so_many_rows_are_kept(tmp_path: Path) -> None:
    indices = torch.tensor([[6, 0, 1], [2, 2, 5]])
    _, tensors = captured(Small(), indices, tmp_path, rows=4)
    assert tensors["table.input"].tolist() == [6, 0, 1, 2]
    assert tensors["dense.input"].shape == (4, 4)


def test_a_model_that_is_itself_a_layer_is_called_root(tmp_path: Path) -> None:
    done, tensors = captured(nn.Linear(3, 2), torch.ones(1, 3), tmp_path)
    assert done.layers == (ROOT,)
    assert sorted(tensors) == ["root.bias", "root.input", "root.weight"]


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = Small().train()
    model.dense.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    for fails in (False, True):
        model.fails = fails
        if fails:
            with pytest.raises(RuntimeError, match="half-way"):
                parity.capture(model, torch.tensor([1]), tmp_path / "failed.safetensors")
        else:
            parity.capture(model, torch.tensor([1]), tmp_path / "captured.safetensors")
        assert {name: module.training for name, module in model.named_modules()} == modes
        assert not any(module._forward_pre_hooks for module in model.modules())
        assert all(parameter.grad is None for parameter in model.parameters())
    assert not (tmp_path / "failed.safetensors").exists()


def test_what_was_captured_can_be_swept(tmp_path: Path) -> None:
    done, _ = captured(Small(), torch.tensor([1, 4]), tmp_path)
    file = TensorFile.open(done.file)
    assert (file.metadata["table.kind"], file.metadata["dense.calls"]) == ("embedding", "2")
    source = Source(weights=done.file)
    assert {layer.name: layer.kind for layer in source.layers().found} == {
        "table": Kind.EMBEDDING,
        "dense": Kind.LINEAR,
        "head": Kind.LINEAR,
        "idle": Kind.LINEAR,
    }
    assert [source.captured(layer) is None for layer in source.layers().found] == [False, False, True, False]


@pytest.mark.parametrize(
    ("model", "name", "rows", "sentence"),
    [
        (nn.ReLU(), "a.safetensors", 64, r"found no nn\.Linear or nn\.Embedding in the ReLU; nothing was run"),
        (nn.Linear(2, 2), "a.pt", 64, r"writes safetensors, but .*a\.pt does not end in \.safetensors"),
        (nn.Linear(2, 2), "a.safetensors", 0, "keeps at least one row of an input, but rows is 0"),
    ],
)
def test_what_cannot_be_captured_is_refused(
    tmp_path: Path, model: nn.Module, name: str, rows: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        parity.capture(model, torch.ones(1, 2), tmp_path / name, rows=rows)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not be written"):
        parity.capture(nn.Linear(2, 2), torch.ones(1, 2), tmp_path / "none" / "a.safetensors")
