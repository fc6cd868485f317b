"""Logits of a model folder by PyTorch's own ops, on padded batches with an attention mask.

    bert_forward.py MODEL_FOLDER...

Each folder has a batch.json beside the model's files, {"token_ids": [[…], …], "type_ids": [[…], …]}, and gets a
logits.json, [[…], …]. The weights are read as a plain state_dict by the few lines below.
"""

import json
import math
import struct
import sys

import numpy
import torch
from torch.nn import functional as F


def read_state_dict(path):
    with open(path, "rb") as file:
        (header_size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_size))
        data = file.read()
    header.pop("__metadata__", None)
    state = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", (name, entry["dtype"])
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
        state[name] = torch.from_numpy(values.copy())
    return state


def padded(rows):
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


class Encoder:
    def __init__(self, config, state):
        self.config = config
        self.state = state
        self.eps = config.get("layer_norm_eps", 1e-12)
        name = config.get("hidden_act", config.get("activation"))
        self.activation = {"gelu": F.gelu, "gelu_new": self.gelu_new, "relu": F.relu}[name]

    @staticmethod
    def gelu_new(x):
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def linear(self, x, name):
        return F.linear(x, self.state[name + ".weight"], self.state[name + ".bias"])

    def norm(self, x, name):
        gamma, beta = self.state[name + ".weight"], self.state[name + ".bias"]
        return F.layer_norm(x, gamma.shape, gamma, beta, self.eps)

    def attend(self, q, k, v, mask, n_heads):
        batch, length, width = q.shape

        def split(x):
            return x.view(batch, length, n_heads, width // n_heads).transpose(1, 2)

        scores = split(q) @ split(k).transpose(2, 3) / math.sqrt(width // n_heads)
        scores = scores + (1 - mask)[:, None, None, :] * -1e30
        return (scores.softmax(-1) @ split(v)).transpose(1, 2).reshape(batch, length, width)

    def layer(self, x, mask, n_heads, prefix, names):
        q, k, v = (self.linear(x, prefix + names[part]) for part in ("q", "k", "v"))
        attended = self.linear(self.attend(q, k, v, mask, n_heads), prefix + names["attention"])
        x = self.norm(attended + x, prefix + names["attention_norm"])
        inner = self.activation(self.linear(x, prefix + names["inner"]))
        return self.norm(self.linear(inner, prefix + names["output"]) + x, prefix + names["output_norm"])


BERT = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "attention": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense", "output": "output.dense", "output_norm": "output.LayerNorm",
}
DISTILBERT = {
    "q": "attention.q_lin", "k": "attention.k_lin", "v": "attention.v_lin", "attention": "attention.out_lin",
    "attention_norm": "sa_layer_norm", "inner": "ffn.lin1", "output": "ffn.lin2", "output_norm": "output_layer_norm",
}


def bert(config, state, ids, types, mask):
    encoder = Encoder(config, state)
    embeddings = "bert.embeddings."
    x = state[embeddings + "word_embeddings.weight"][ids]
    x = x + state[embeddings + "token_type_embeddings.weight"][types]
    x = x + state[embeddings + "position_embeddings.weight"][: ids.shape[1]]
    x = encoder.norm(x, embeddings + "LayerNorm")
    for i in range(config["num_hidden_layers"]):
        x = encoder.layer(x, mask, config["num_attention_heads"], f"bert.encoder.layer.{i}.", BERT)
    pooled = torch.tanh(encoder.linear(x[:, 0], "bert.pooler.dense"))
    return encoder.linear(pooled, "classifier")


def roberta(config, state, ids, types, mask):
    encoder = Encoder(config, state)
    embeddings = "roberta.embeddings."
    # Real tokens are counted from pad_token_id + 1 on; padding stays at pad_token_id.
    positions = (mask.cumsum(1) * mask).long() + config["pad_token_id"]
    x = state[embeddings + "word_embeddings.weight"][ids]
    x = x + state[embeddings + "token_type_embeddings.weight"][torch.zeros_like(ids)]
    x = x + state[embeddings + "position_embeddings.weight"][positions]
    x = encoder.norm(x, embeddings + "LayerNorm")
    for i in range(config["num_hidden_layers"]):
        x = encoder.layer(x, mask, config["num_attention_heads"], f"roberta.encoder.layer.{i}.", BERT)
    return encoder.linear(torch.tanh(encoder.linear(x[:, 0], "classifier.dense")), "classifier.out_proj")


def distilbert(config, state, ids, types, mask):
    encoder = Encoder(config, state)
    embeddings = "distilbert.embeddings."
    x = state[embeddings + "word_embeddings.weight"][ids]
    x = x + state[embeddings + "position_embeddings.weight"][: ids.shape[1]]
    x = encoder.norm(x, embeddings + "LayerNorm")
    for i in range(config["n_layers"]):
        x = encoder.layer(x, mask, config["n_heads"], f"distilbert.transformer.layer.{i}.", DISTILBERT)
    return encoder.linear(F.relu(encoder.linear(x[:, 0], "pre_classifier")), "classifier")


FORWARD = {"bert": bert, "distilbert": distilbert, "roberta": roberta, "xlm-roberta": roberta}


def run(folder):
    with open(folder + "/config.json") as file:
        config = json.load(file)
    with open(folder + "/batch.json") as file:
        batch = json.load(file)
    state = read_state_dict(folder + "/model.safetensors")
    ids, mask = padded(batch["token_ids"])
    types, _ = padded(batch["type_ids"])
    forward = FORWARD[config["model_type"]]
    with torch.no_grad():
        logits = forward(config, state, ids, types, mask)
    with open(folder + "/logits.json", "w") as file:
        json.dump(logits.tolist(), file)


for model_folder in sys.argv[1:]:
    run(model_folder)
