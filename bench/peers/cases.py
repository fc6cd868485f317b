"""What is measured: shapes of encoders, workloads, and what has to be reached."""
import dataclasses
import json
import pathlib


@dataclasses.dataclass(frozen=True)
class Shape:
    name: str
    title: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    distilbert: bool = False  # no token types; a ReLU in the head

    def numbers(self):
        return [self.layers, self.hidden, self.heads, self.intermediate]


@dataclasses.dataclass(frozen=True)
class Workload:
    """One query: the sequences that are handed over together."""
    name: str
    title: str
    lengths: tuple
    kind: str  # "latency", "ragged" or "padded"


SHAPES = {shape.name: shape for shape in [
    Shape("bert-base", "BERT-base", 12, 768, 12, 3072),
    Shape("distilbert", "DistilBERT", 6, 768, 12, 3072, distilbert=True),
    Shape("6x384", "6 × 384", 6, 384, 12, 1536),
    Shape("4x312", "4 × 312", 4, 312, 12, 1200),
]}


# Bytes of one weight. int4: groups of 32 with an f16 scale each.
BYTES = {"f32": 4, "bf16": 2, "int8": 1, "int4": 0.5 + 2 / 32}


def limit_ms(shape, lengths, form, limits):
    """The least time in which this machine can do it: all weights read once, or the products done at the peak.

    Of the last layer only keys and values are needed of every token, the rest of the first one. Norms, embeddings and the
    head are left out.
    """
    hidden, tokens, sequences = shape.hidden, sum(lengths), len(lengths)
    layer = 4 * hidden**2 + 2 * hidden * shape.intermediate
    keys_values = 2 * hidden**2
    products = tokens * (layer * (shape.layers - 1) + keys_values) + sequences * (layer - keys_values)
    attention = 2 * hidden * ((shape.layers - 1) * sum(n * n for n in lengths) + tokens)
    read_ms = 1e-6 * layer * shape.layers * BYTES[form] / limits["bandwidth_gb_s"]
    return max(read_ms, 2e-6 * (products + attention) / limits["peak_gops"][form])


def single(tokens):
    return Workload(f"1x{tokens}", f"1 × {tokens}", (tokens,), "latency")


def ragged():
    """Two batches of 64: as short as the queries of CLINC150, and of very different lengths."""
    path = pathlib.Path(__file__).with_name("lengths.json")
    lengths = json.loads(path.read_text(encoding="utf-8"))
    return [Workload(f"64x{name}", f"64 × ({name.replace('-', '–')})", tuple(lengths[name]), "ragged")
            for name in ["5-23", "5-256"]]


def padded():
    """A batch of which 65 % would be padding."""
    return Workload("padded", "3 × (4, 6, 215)", (4, 6, 215), "padded")


@dataclasses.dataclass(frozen=True)
class Target:
    """median(against) ÷ median(ours) is at least this; both are (row, threads)."""
    shape: str
    workload: str
    ours: tuple
    against: tuple
    at_least: float


TARGETS = [
    Target("bert-base", "1x12", ("fettle int8", 1), ("ort-int8", 1), 1.8),
    Target("bert-base", "1x12", ("fettle int8", 2), ("ort-int8", 2), 3.0),
    Target("bert-base", "1x12", ("fettle int4", 1), ("ort-int8", 1), 2.8),
    Target("bert-base", "1x32", ("fettle int8", 1), ("ort-int8", 1), 1.9),
    Target("bert-base", "1x128", ("fettle int8", 1), ("ort-int8", 1), 4.0),
    Target("bert-base", "64x5-23", ("fettle int8", 1), ("ort-int8", 1), 3.5),
    Target("bert-base", "64x5-256", ("fettle int8", 1), ("ort-int8", 1), 5.0),
    Target("bert-base", "1x12", ("fettle f32", 1), ("ort-f32", 1), 1.4),
    Target("bert-base", "1x12", ("fettle bf16", 1), ("ort-f32", 1), 2.8),
    Target("bert-base", "padded", ("fettle f32", 1), ("slow-f32", 1), 2.5),
    Target("6x384", "1x12", ("fettle int8", 1), ("ort-int8", 1), 2.0),
    Target("bert-base", "1x12", ("fettle int8", 2), ("fettle int8", 1), 1.7),
]
# BERT-base int8, one query of 12 tokens on one thread: at most so many times the limit.
LIMIT_TARGET = 1.15
# Resident memory of fettle int8 on BERT-base less its weights, MiB.
MEMORY_TARGET_MB = 30
