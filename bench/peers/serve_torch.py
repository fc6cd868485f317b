#!/usr/bin/python3
"""PyTorch as a worker of bench/peers/run (worker.py describes the protocol).

    serve_torch.py KIND THREADS LAYERS HIDDEN HEADS INTERMEDIATE [--distilbert]

KIND: eager, bf16, int8 (dynamic quantization of every linear), fast (the fused layer that nn.TransformerEncoder takes in
inference mode, known as BetterTransformer), nested (the same with nested tensors over a padding mask).
With several threads Debian's PyTorch is at its best on the OpenMP build of OpenBLAS: libopenblas0-openmp.
"""
import argparse
import warnings

import torch
from torch import nn

import serve

VOCAB, POSITIONS, LABELS = 30522, 512, 151


class Embeddings(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.words = nn.Embedding(VOCAB, shape.hidden)
        self.positions = nn.Embedding(POSITIONS, shape.hidden)
        self.types = None if shape.distilbert else nn.Embedding(2, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=1e-12)

    def forward(self, ids):
        x = self.words(ids) + self.positions(torch.arange(ids.shape[1])[None])
        if self.types is not None:
            x = x + self.types(torch.zeros_like(ids))
        return self.norm(x)


class Layer(nn.Module):
    """Op by op, as Hugging Face has it."""

    def __init__(self, shape):
        super().__init__()
        self.heads = shape.heads
        self.query, self.key, self.value, self.output = (nn.Linear(shape.hidden, shape.hidden) for _ in range(4))
        self.up, self.down = nn.Linear(shape.hidden, shape.intermediate), nn.Linear(shape.intermediate, shape.hidden)
        self.norm1, self.norm2 = (nn.LayerNorm(shape.hidden, eps=1e-12) for _ in range(2))

    def forward(self, x, bias):
        batch, length, hidden = x.shape

        def split(y):
            return y.view(batch, length, self.heads, hidden // self.heads).transpose(1, 2)

        scores = split(self.query(x)) @ split(self.key(x)).transpose(-1, -2) / (hidden // self.heads) ** 0.5
        if bias is not None:
            scores = scores + bias
        context = torch.softmax(scores, -1) @ split(self.value(x))
        x = self.norm1(x + self.output(context.transpose(1, 2).reshape(batch, length, hidden)))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class EagerEncoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layers = nn.ModuleList([Layer(shape) for _ in range(shape.layers)])

    def forward(self, x, is_padding):
        bias = None
        if is_padding is not None:
            bias = torch.zeros(is_padding.shape, dtype=x.dtype).masked_fill(is_padding, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, bias)
        return x


class FastEncoder(nn.Module):
    def __init__(self, shape, nested):
        super().__init__()
        layer = nn.TransformerEncoderLayer(shape.hidden, shape.heads, shape.intermediate, 0.1, "gelu", 1e-12, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=nested)

    def forward(self, x, is_padding):
        return self.encoder(x, src_key_padding_mask=is_padding)


class Classifier(nn.Module):
    def __init__(self, shape, encoder):
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.encoder = encoder
        self.pooler = nn.Linear(shape.hidden, shape.hidden)
        self.active = nn.ReLU() if shape.distilbert else nn.Tanh()
        self.classifier = nn.Linear(shape.hidden, LABELS)

    def forward(self, ids, is_padding=None):
        x = self.encoder(self.embeddings(ids), is_padding)
        return self.classifier(self.active(self.pooler(x[:, 0])))


def build(kind, shape):
    encoder = FastEncoder(shape, kind == "nested") if kind in ("fast", "nested") else EagerEncoder(shape)
    model = Classifier(shape, encoder).eval()
    if kind == "bf16":
        return model.bfloat16()
    if kind == "int8":
        engines = torch.backends.quantized.supported_engines
        torch.backends.quantized.engine = next(e for e in ["onednn", "fbgemm", "qnnpack"] if e in engines)
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    return model


def inputs(lengths):
    """Ids of one padded batch, and where the padding is (None where there is none)."""
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    is_padding = torch.ones(ids.shape, dtype=torch.bool)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, VOCAB, (length,))
        is_padding[row, :length] = False
    return ids, (is_padding if is_padding.any() else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["eager", "bf16", "int8", "fast", "nested"])
    for name in ["threads", "layers", "hidden", "heads", "intermediate"]:
        parser.add_argument(name, type=int)
    parser.add_argument("--distilbert", action="store_true")
    shape = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(shape.threads)
    model = build(shape.kind, shape)
    prepared = {}

    @torch.inference_mode()
    def times_ms(lengths, layout, queries):
        key = (layout, *lengths)
        if key not in prepared:
            prepared.clear()
            prepared[key] = [inputs([lengths[i] for i in rows]) for rows in serve.lay_out(lengths, layout)]

        def query():
            for ids, is_padding in prepared[key]:
                model(ids, is_padding)

        return serve.timed(query, queries)

    serve.serve({"name": "PyTorch", "version": torch.__version__}, times_ms)


if __name__ == "__main__":
    main()
