#!/usr/bin/python3
"""Writes an encoder classifier with random weights as ONNX, for timing ONNX Runtime (bench/peers/run).

    make_onnx.py OUTPUT.onnx KIND LAYERS HIDDEN HEADS INTERMEDIATE [--distilbert]

KIND is one of
    f32          what an export from PyTorch gives
    int8         the same after onnxruntime.quantization.quantize_dynamic with one scale for each output channel:
                 DynamicQuantizeLinear and MatMulInteger, which ONNX Runtime fuses when it loads the file
    f32-fused    ONNX Runtime's own operators, as its optimizer for transformers writes them
    int8-fused   the same with QAttention and DynamicQuantizeMatMul
"""
import argparse
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

VOCAB, POSITIONS, LABELS = 30522, 512, 151
OWN = "com.microsoft"


def quantized(w):
    """int8 weights [in, out] and one scale for each column."""
    scale = (np.abs(w).max(axis=0) / 127).astype(np.float32)
    return np.clip(np.round(w / scale), -127, 127).astype(np.int8), scale


class Builder:
    """What both ways of writing the graph share: inputs, constants, classification head."""

    def __init__(self, shape):
        self.int8 = shape.kind.startswith("int8")
        self.n_layers, self.hidden, self.heads, self.intermediate = shape.layers, shape.hidden, shape.heads, shape.intermediate
        self.distilbert = shape.distilbert
        self.nodes = []
        self.constants = []
        self.quantized = {}
        self.random = np.random.RandomState(0)

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def random_weight(self, *shape):
        return (self.random.standard_normal(shape) * 0.02).astype(np.float32)

    def weight(self, name, *shape):
        return self.constant(name, self.random_weight(*shape))

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
        w = self.random_weight(n_in, n_out)
        bias = self.weight(name + ".bias", n_out)
        if not self.int8:
            return self.op("Add", [self.op("MatMul", [x, self.constant(name + ".weight", w)], name + ".product"), bias], name)
        q, scale = quantized(w)
        x_q, x_scale, x_zero = self.quantize(x)
        inputs = [x_q, self.constant(name + ".weight", q), x_zero, self.constant(name + ".zero", np.zeros(n_out, np.int8))]
        total = self.op("Cast", [self.op("MatMulInteger", inputs, name + ".int")], name + ".float", to=TensorProto.FLOAT)
        scales = self.op("Mul", [x_scale, self.constant(name + ".scale", scale)], name + ".scales")
        return self.op("Add", [self.op("Mul", [total, scales], name + ".product"), bias], name)

    def head(self, x):
        first = self.op("Gather", [x, self.constant("zero", np.array(0))], "first", axis=1)
        kind = "Relu" if self.distilbert else "Tanh"
        pooled = self.op(kind, [self.linear(first, "pooler", self.hidden, self.hidden)], "pooled")
        self.op("Identity", [self.linear(pooled, "classifier", self.hidden, LABELS)], "logits")

    def model(self):
        names = ["input_ids", "attention_mask"] + ([] if self.distilbert else ["token_type_ids"])
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", LABELS])]
        graph = helper.make_graph(self.nodes, "encoder", inputs, outputs, self.constants)
        imports = [helper.make_opsetid("", 17), helper.make_opsetid(OWN, 1)]
        model = helper.make_model(graph, opset_imports=imports)
        model.ir_version = 8
        return model


class PlainBuilder(Builder):
    """Standard operators only."""

    def norm(self, x, name):
        gamma = self.constant(name + ".gamma", np.ones(self.hidden, np.float32))
        beta = self.constant(name + ".beta", np.zeros(self.hidden, np.float32))
        return self.op("LayerNormalization", [x, gamma, beta], name, axis=-1, epsilon=1e-12)

    def gelu(self, x, name):
        scaled = self.op("Div", [x, "root2"], name + ".scaled")
        shifted = self.op("Add", [self.op("Erf", [scaled], name + ".erf"), "one"], name + ".shifted")
        return self.op("Mul", [self.op("Mul", [x, shifted], name + ".product"), "half"], name)

    def split_heads(self, x, name, order):
        split = self.op("Reshape", [x, "split_heads"], name + ".split")
        return self.op("Transpose", [split], name + ".heads", perm=order)

    def attention(self, x, name):
        def projected(part, order):
            return self.split_heads(self.linear(x, f"{name}.{part}", self.hidden, self.hidden), f"{name}.{part[0]}", order)

        q, k, v = projected("query", [0, 2, 1, 3]), projected("key", [0, 2, 3, 1]), projected("value", [0, 2, 1, 3])
        scores = self.op("Div", [self.op("MatMul", [q, k], name + ".qk"), "root_head"], name + ".scores")
        masked = self.op("Add", [scores, "mask_bias"], name + ".masked")
        mixed = self.op("MatMul", [self.op("Softmax", [masked], name + ".softmax", axis=-1), v], name + ".mixed")
        joined = self.op("Transpose", [mixed], name + ".joined", perm=[0, 2, 1, 3])
        return self.op("Reshape", [joined, "join_heads"], name + ".context")

    def layer(self, x, name):
        attended = self.linear(self.attention(x, name + ".attention"), name + ".output", self.hidden, self.hidden)
        x = self.norm(self.op("Add", [attended, x], name + ".sum1"), name + ".norm1")
        wide = self.gelu(self.linear(x, name + ".up", self.hidden, self.intermediate), name + ".gelu")
        narrow = self.linear(wide, name + ".down", self.intermediate, self.hidden)
        return self.norm(self.op("Add", [narrow, x], name + ".sum2"), name + ".norm2")

    def embeddings(self):
        total = self.op("Gather", [self.weight("words", VOCAB, self.hidden), "input_ids"], "word")
        if not self.distilbert:
            types = self.op("Gather", [self.weight("types", 2, self.hidden), "token_type_ids"], "type")
            total = self.op("Add", [total, types], "word_type")
        # Positions 0 … length - 1: as many rows of the table as there are tokens.
        shape = self.op("Shape", ["input_ids"], "ids_shape")
        length = self.op("Slice", [shape, self.constant("i1", np.array([1])), self.constant("i2", np.array([2]))], "length")
        table = self.weight("positions", POSITIONS, self.hidden)
        position = self.op("Slice", [table, self.constant("i0", np.array([0])), length], "position")
        return self.norm(self.op("Add", [total, position], "embedded"), "embedding_norm")

    def mask(self):
        number = self.op("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
        wide = self.op("Unsqueeze", [number, self.constant("axes", np.array([1, 2]))], "mask_wide")
        self.op("Mul", [self.op("Sub", ["one", wide], "mask_inverse"), self.constant("lowest", np.float32(-3e38))], "mask_bias")

    def build(self):
        head_dim = self.hidden // self.heads
        self.constant("one", np.float32(1))
        self.constant("half", np.float32(0.5))
        self.constant("root2", np.float32(2**0.5))
        self.constant("root_head", np.float32(head_dim**0.5))
        self.constant("split_heads", np.array([0, 0, self.heads, head_dim]))
        self.constant("join_heads", np.array([0, 0, self.hidden]))
        self.mask()
        x = self.embeddings()
        for i in range(self.n_layers):
            x = self.layer(x, f"layer{i}")
        self.head(x)
        return self.model()


class FusedBuilder(Builder):
    """ONNX Runtime's operators for transformers; padding stands at the right, so that a length is mask enough."""

    def own(self, kind, inputs, output, **attributes):
        return self.op(kind, inputs, output, domain=OWN, **attributes)

    def norms(self, name):
        return [self.constant(name + ".gamma", np.ones(self.hidden, np.float32)),
                self.constant(name + ".beta", np.zeros(self.hidden, np.float32))]

    def skip_norm(self, x, residual, bias, name):
        """LayerNorm(x + bias + residual); bias may be "" for none."""
        inputs = [x, residual, *self.norms(name)] + ([bias] if bias else [])
        return self.own("SkipLayerNormalization", inputs, name, epsilon=1e-12)

    def product(self, x, name, n_in, n_out):
        """x · weight [+ bias], and the bias that is still to be added ("" for none)."""
        w = self.random_weight(n_in, n_out)
        bias = self.weight(name + ".bias", n_out)
        if not self.int8:
            return self.op("MatMul", [x, self.constant(name + ".weight", w)], name), bias
        q, scale = quantized(w)
        inputs = [x, self.constant(name + ".weight", q), self.constant(name + ".scale", scale),
                  self.constant(name + ".zero", np.zeros(n_out, np.int8)), bias]
        return self.own("DynamicQuantizeMatMul", inputs, name), ""

    def attention(self, x, name):
        w = self.random_weight(self.hidden, 3 * self.hidden)
        bias = self.weight(name + ".bias", 3 * self.hidden)
        if not self.int8:
            return self.own("Attention", [x, self.constant(name + ".weight", w), bias, "mask_lengths"], name, num_heads=self.heads)
        q, scale = quantized(w)
        x_q, x_scale, x_zero = self.quantize(x)
        inputs = [x_q, self.constant(name + ".weight", q), bias, x_scale, self.constant(name + ".scale", scale), "mask_lengths",
                  x_zero, self.constant(name + ".zero", np.zeros(3 * self.hidden, np.int8))]
        return self.own("QAttention", inputs, name, num_heads=self.heads)

    def layer(self, x, name):
        attended, bias = self.product(self.attention(x, name + ".attention"), name + ".output", self.hidden, self.hidden)
        x = self.skip_norm(attended, x, bias, name + ".norm1")
        wide, bias = self.product(x, name + ".up", self.hidden, self.intermediate)
        active = self.own("BiasGelu", [wide, bias], name + ".gelu") if bias else self.own("Gelu", [wide], name + ".gelu")
        narrow, bias = self.product(active, name + ".down", self.intermediate, self.hidden)
        return self.skip_norm(narrow, x, bias, name + ".norm2")

    def embeddings(self):
        def narrow(name):
            return self.op("Cast", [name], name + "_32", to=TensorProto.INT32)

        types = "" if self.distilbert else narrow("token_type_ids")
        inputs = [narrow("input_ids"), types, self.weight("words", VOCAB, self.hidden), self.weight("positions", POSITIONS, self.hidden),
                  "" if self.distilbert else self.weight("types", 2, self.hidden), *self.norms("embedding_norm"), narrow("attention_mask")]
        self.nodes.append(helper.make_node("EmbedLayerNormalization", inputs, ["embedded", "mask_lengths"], name="embedded", domain=OWN,
                                           epsilon=1e-12))
        return "embedded"

    def build(self):
        x = self.embeddings()
        for i in range(self.n_layers):
            x = self.layer(x, f"layer{i}")
        self.head(x)
        return self.model()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("kind", choices=["f32", "int8", "f32-fused", "int8-fused"])
    for name in ["layers", "hidden", "heads", "intermediate"]:
        parser.add_argument(name, type=int)
    parser.add_argument("--distilbert", action="store_true")
    shape = parser.parse_args()
    builder = FusedBuilder(shape) if shape.kind.endswith("-fused") else PlainBuilder(shape)
    # Never a partly written file under the name that others look for.
    save(builder.build(), shape.output + ".tmp")
    os.replace(shape.output + ".tmp", shape.output)


if __name__ == "__main__":
    main()
