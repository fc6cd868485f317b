#!/usr/bin/python3
"""Writes a BERT encoder with random weights as GGUF, for timing llama.cpp (bench/peers/run).

    make_gguf.py OUTPUT.gguf q8_0|q4_0 LAYERS HIDDEN HEADS INTERMEDIATE

Linear weights are quantized in blocks of 32 along a row, so HIDDEN and INTERMEDIATE are multiples of 32. llama.cpp has no
DistilBERT: a BERT of as many layers stands for it (the row of the token type costs nothing).
"""
import argparse
import os
import struct

import numpy as np

VOCAB, POSITIONS = 30522, 512
BLOCK = 32
ALIGNMENT = 32
# Type numbers of the format (ggml's tensor types, GGUF's value types).
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
U32, FLOAT, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9


def q8_0(w):
    """Blocks of {f16 scale, 32 int8}."""
    blocks = w.reshape(-1, BLOCK)
    scale = (np.abs(blocks).max(axis=1) / 127).astype(np.float16)
    q = np.clip(np.round(blocks / scale[:, None].astype(np.float32)), -127, 127).astype(np.int8)
    return np.concatenate([scale.view(np.uint8).reshape(-1, 2), q.view(np.uint8)], axis=1).tobytes()


def q4_0(w):
    """Blocks of {f16 scale, 16 bytes}: number i in the low and number i + 16 in the high half of byte i, plus 8."""
    blocks = w.reshape(-1, BLOCK)
    scale = (np.abs(blocks).max(axis=1) / 7).astype(np.float16)
    q = np.clip(np.round(blocks / scale[:, None].astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    packed = q[:, :BLOCK // 2] | (q[:, BLOCK // 2:] << 4)
    return np.concatenate([scale.view(np.uint8).reshape(-1, 2), packed], axis=1).tobytes()


def text(value):
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def metadata(shape):
    """Keys and values as bytes, with the type in front of each value."""
    def u32(value):
        return struct.pack("<II", U32, value)

    tokens = [f"t{i}" for i in range(VOCAB)]
    return {
        "general.architecture": struct.pack("<I", STRING) + text("bert"),
        "bert.block_count": u32(shape.layers),
        "bert.context_length": u32(POSITIONS),
        "bert.embedding_length": u32(shape.hidden),
        "bert.feed_forward_length": u32(shape.intermediate),
        "bert.attention.head_count": u32(shape.heads),
        "bert.attention.layer_norm_epsilon": struct.pack("<If", FLOAT, 1e-12),
        "bert.attention.causal": struct.pack("<IB", BOOL, 0),
        "bert.pooling_type": u32(2),  # the first token
        "tokenizer.ggml.model": struct.pack("<I", STRING) + text("bert"),
        "tokenizer.ggml.token_type_count": u32(2),
        "tokenizer.ggml.tokens": struct.pack("<IIQ", ARRAY, STRING, VOCAB) + b"".join(map(text, tokens)),
    }


def tensors(shape):
    """(name, dimensions from the innermost on, type, data) of every tensor, in the order of the file."""
    random = np.random.RandomState(0)
    kind, encode = {"q8_0": (Q8_0, q8_0), "q4_0": (Q4_0, q4_0)}[shape.kind]

    def weight(rows, columns):
        return (random.standard_normal((rows, columns)) * 0.02).astype(np.float32)

    def vector(name, value, width):
        return name, [width], F32, np.full(width, value, np.float32).tobytes()

    def norm(name):
        return [vector(name + ".weight", 1, shape.hidden), vector(name + ".bias", 0, shape.hidden)]

    def linear(name, n_in, n_out):
        return [(name + ".weight", [n_in, n_out], kind, encode(weight(n_out, n_in))), vector(name + ".bias", 0.01, n_out)]

    yield "token_embd.weight", [shape.hidden, VOCAB], F16, weight(VOCAB, shape.hidden).astype(np.float16).tobytes()
    yield "position_embd.weight", [shape.hidden, POSITIONS], F32, weight(POSITIONS, shape.hidden).tobytes()
    yield "token_types.weight", [shape.hidden, 2], F32, weight(2, shape.hidden).tobytes()
    yield from norm("token_embd_norm")
    for i in range(shape.layers):
        for part in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            yield from linear(f"blk.{i}.{part}", shape.hidden, shape.hidden)
        yield from norm(f"blk.{i}.attn_output_norm")
        yield from linear(f"blk.{i}.ffn_up", shape.hidden, shape.intermediate)
        yield from linear(f"blk.{i}.ffn_down", shape.intermediate, shape.hidden)
        yield from norm(f"blk.{i}.layer_output_norm")


def padding(size_bytes):
    return b"\0" * (-size_bytes % ALIGNMENT)


def write(file, shape):
    entries = metadata(shape)
    parts = list(tensors(shape))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(parts), len(entries))
    head += b"".join(text(key) + value for key, value in entries.items())
    offset = 0
    for name, dimensions, kind, data in parts:
        head += text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
        offset += len(data) + len(padding(len(data)))
    file.write(head + padding(len(head)))
    for *_, data in parts:
        file.write(data + padding(len(data)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("kind", choices=["q8_0", "q4_0"])
    for name in ["layers", "hidden", "heads", "intermediate"]:
        parser.add_argument(name, type=int)
    shape = parser.parse_args()
    if shape.hidden % BLOCK != 0 or shape.intermediate % BLOCK != 0:
        parser.exit(1, f"llama.cpp quantizes blocks of {BLOCK}: no model of width {shape.hidden} and {shape.intermediate}\n")
    with open(shape.output + ".tmp", "wb") as file:
        write(file, shape)
    os.replace(shape.output + ".tmp", shape.output)


if __name__ == "__main__":
    main()
