"""A character model small enough to train on one core, and an invented language for it: no downloads, no files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LETTERS = "abcdefghijklmnop "
CONTEXT = 32


@dataclass(frozen=True, slots=True)
class Language:
    """Forty words of three to six letters; after each, one of four others follows, the likeliest every second time."""

    words: tuple[str, ...]
    followers: Tensor  # int64 [words, 4]

    @classmethod
    def invented(cls, seed: int = 0) -> Language:
        """The language of a seed."""
        source = torch.Generator().manual_seed(seed)
        lengths = torch.randint(3, 7, (40,), generator=source).tolist()
        words = tuple(
            "".join(LETTERS[i] for i in torch.randint(16, (length,), generator=source).tolist()) for length in lengths
        )
        return cls(words, torch.randint(40, (40, 4), generator=source))

    def text(self, count: int, seed: int) -> Tensor:
        """`count` words as one line of letters, int64."""
        source = torch.Generator().manual_seed(seed)
        draws = torch.multinomial(torch.tensor([0.5, 0.3, 0.15, 0.05]), count, replacement=True, generator=source)
        word, letters = 0, []
        for draw in draws.tolist():
            letters.append(self.words[word])
            word = int(self.followers[word, draw])
        return torch.tensor([LETTERS.index(letter) for letter in " ".join(letters)])


def batches(text: Tensor, steps: int, size: int, seed: int) -> Iterator[Tensor]:
    """`steps` batches [size, CONTEXT + 1] of windows of the text."""
    source = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        starts = torch.randint(len(text) - CONTEXT - 1, (size,), generator=source)
        yield torch.stack([text[start : start + CONTEXT + 1] for start in starts.tolist()])


class Block(nn.Module):
    """Causal attention and a feed-forward layer, each added to what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in self.attend(self.norms[0](x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).flatten(-2))
        result: Tensor = x + self.narrow(F.gelu(self.widen(self.norms[1](x))))
        return result


class Transformer(nn.Module):
    """Letters in, scores of the next letter out; the table of letters is tied to the head."""

    def __init__(self, width: int = 64, depth: int = 2, seed: int = 0) -> None:
        super().__init__()
        self.table = nn.Embedding(len(LETTERS), width)
        self.places = nn.Parameter(torch.zeros(CONTEXT, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(LETTERS), bias=False)
        self.head.weight = self.table.weight
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, 0.05, generator=source)
                elif name.endswith("bias"):
                    parameter.zero_()

    def forward(self, letters: Tensor) -> Tensor:
        x = self.table(letters) + self.places
        scores: Tensor = self.head(self.norm(self.blocks(x)))
        return scores


def loss_of(model: nn.Module, batch: Tensor) -> Tensor:
    """The mean cross entropy of every next letter, in nats."""
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def train(model: nn.Module, text: Tensor, steps: int, *, rate: float, size: int = 16, seed: int = 1) -> None:
    """AdamW with a rate that falls to zero along a line."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for batch in batches(text, steps, size, seed):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        schedule.step()


def evaluated(model: nn.Module, text: Tensor) -> float:
    """The loss over sixty-four windows that do not overlap."""
    model.eval()
    windows = text[: 64 * (CONTEXT + 1)].reshape(64, CONTEXT + 1)
    with torch.no_grad():
        return float(loss_of(model, windows))
