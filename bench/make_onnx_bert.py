#!/usr/bin/python3
"""Writes a BERT-shaped classifier with random weights as ONNX, for timing ONNX Runtime (bench/compare_onnxruntime.mjs).

    make_onnx_bert.py OUTPUT.onnx [int8|f32] [LAYERS HIDDEN]     defaults: int8 12 768

The graph is what an export from PyTorch gives. int8 is the form that onnxruntime.quantization.quantize_dynamic makes with one scale for each
output channel: DynamicQuantizeLinear and MatMulInteger, which ONNX Runtime fuses when it loads the file.
"""
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

VOCAB, POSITIONS, LABELS = 30522, 512, 151


class Builder:
    def __init__(self, int8):
        self.int8 = int8
        self.nodes = []
        self.constants = []
        self.quantized = {}
        self.random = np.random.RandomState(0)

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, name, *shape):
        return self.constant(name, (self.random.standard_normal(shape) * 0.02).astype(np.float32))

    def op(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def quantize(self, x):
        if x not in self.quantized:
            outputs = [x + "_q", x + "_scale", x + "_zero"]
            self.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], outputs, name=x + "_quantize"))
            self.quantized[x] = outputs
        return self.quantized[x]

    def linear(self, x, name, n_in, n_out):
        w = (self.random.standard_normal((n_in, n_out)) * 0.02).astype(np.float32)
        bias = self.weight(name + ".bias", n_out)
        if not self.int8:
            return self.op("Add", [self.op("MatMul", [x, self.constant(name + ".weight", w)], name + ".product"), bias], name)
        scale = (np.abs(w).max(axis=0) / 127).astype(np.float32)
        q = np.clip(np.round(w / scale), -127, 127).astype(np.int8)
        x_q, x_scale, x_zero = self.quantize(x)
        inputs = [x_q, self.constant(name + ".weight", q), x_zero, self.constant(name + ".zero", np.zeros(n_out, np.int8))]
        total = self.op("Cast", [self.op("MatMulInteger", inputs, name + ".int")], name + ".float", to=TensorProto.FLOAT)
        scales = self.op("Mul", [x_scale, self.constant(name + ".scale", scale)], name + ".scales")
        return self.op("Add", [self.op("Mul", [total, scales], name + ".product"), bias], name)

    def norm(self, x, name, width):
        gamma = self.constant(name + ".gamma", np.ones(width, np.float32))
        beta = self.constant(name + ".beta", np.zeros(width, np.float32))
        return self.op("LayerNormalization", [x, gamma, beta], name, axis=-1, epsilon=1e-12)

    def gelu(self, x, name):
        scaled = self.op("Div", [x, "root2"], name + ".scaled")
        shifted = self.op("Add", [self.op("Erf", [scaled], name + ".erf"), "one"], name + ".shifted")
        return self.op("Mul", [self.op("Mul", [x, shifted], name + ".product"), "half"], name)

    def heads(self, x, name, order):
        split = self.op("Reshape", [x, "split_heads"], name + ".split")
        return self.op("Transpose", [split], name + ".heads", perm=order)

    def attention(self, x, name, hidden, n_heads):
        q = self.heads(self.linear(x, name + ".query", hidden, hidden), name + ".q", [0, 2, 1, 3])
        k = self.heads(self.linear(x, name + ".key", hidden, hidden), name + ".k", [0, 2, 3, 1])
        v = self.heads(self.linear(x, name + ".value", hidden, hidden), name + ".v", [0, 2, 1, 3])
        scores = self.op("Div", [self.op("MatMul", [q, k], name + ".qk"), "root_head"], name + ".scores")
        masked = self.op("Add", [scores, "mask_bias"], name + ".masked")
        mixed = self.op("MatMul", [self.op("Softmax", [masked], name + ".softmax", axis=-1), v], name + ".mixed")
        joined = self.op("Transpose", [mixed], name + ".joined", perm=[0, 2, 1, 3])
        return self.op("Reshape", [joined, "join_heads"], name + ".context")

    def layer(self, x, name, hidden, n_heads):
        attended = self.linear(self.attention(x, name + ".attention", hidden, n_heads), name + ".output", hidden, hidden)
        x = self.norm(self.op("Add", [attended, x], name + ".sum1"), name + ".norm1", hidden)
        wide = self.gelu(self.linear(x, name + ".up", hidden, 4 * hidden), name + ".gelu")
        return self.norm(self.op("Add", [self.linear(wide, name + ".down", 4 * hidden, hidden), x], name + ".sum2"),
                         name + ".norm2", hidden)

    def embeddings(self, hidden):
        words = self.op("Gather", [self.weight("words", VOCAB, hidden), "input_ids"], "word")
        types = self.op("Gather", [self.weight("types", 2, hidden), "token_type_ids"], "type")
        # Positions 0 … length - 1: as many rows of the table as there are tokens.
        shape = self.op("Shape", ["input_ids"], "ids_shape")
        length = self.op("Slice", [shape, self.constant("i1", np.array([1])), self.constant("i2", np.array([2]))], "length")
        table = self.weight("positions", POSITIONS, hidden)
        position = self.op("Slice", [table, self.constant("i0", np.array([0])), length], "position")
        total = self.op("Add", [self.op("Add", [words, types], "word_type"), position], "embedded")
        return self.norm(total, "embedding_norm", hidden)

    def mask(self):
        number = self.op("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
        wide = self.op("Unsqueeze", [number, self.constant("axes", np.array([1, 2]))], "mask_wide")
        self.op("Mul", [self.op("Sub", ["one", wide], "mask_inverse"), self.constant("lowest", np.float32(-3e38))], "mask_bias")

    def build(self, n_layers, hidden):
        n_heads = hidden // 64 if hidden % 64 == 0 else hidden // 32
        self.constant("one", np.float32(1))
        self.constant("half", np.float32(0.5))
        self.constant("root2", np.float32(2**0.5))
        self.constant("root_head", np.float32((hidden // n_heads) ** 0.5))
        self.constant("split_heads", np.array([0, 0, n_heads, hidden // n_heads]))
        self.constant("join_heads", np.array([0, 0, hidden]))
        self.mask()
        x = self.embeddings(hidden)
        for i in range(n_layers):
            x = self.layer(x, f"layer{i}", hidden, n_heads)
        first = self.op("Gather", [x, self.constant("zero", np.array(0))], "first", axis=1)
        pooled = self.op("Tanh", [self.linear(first, "pooler", hidden, hidden)], "pooled")
        self.op("Identity", [self.linear(pooled, "classifier", hidden, LABELS)], "logits")
        names = ["input_ids", "attention_mask", "token_type_ids"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", LABELS])]
        graph = helper.make_graph(self.nodes, "bert", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    kind = sys.argv[2] if len(sys.argv) > 2 else "int8"
    n_layers, hidden = (int(a) for a in sys.argv[3:5]) if len(sys.argv) > 4 else (12, 768)
    save(Builder(kind == "int8").build(n_layers, hidden), sys.argv[1])


if __name__ == "__main__":
    main()
