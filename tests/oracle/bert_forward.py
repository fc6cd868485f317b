"""Logits or sentence embeddings of a model folder by PyTorch's own ops, on padded batches with an attention mask.

    bert_forward.py MODEL_FOLDER...

Each folder has a batch.json beside the model's files, {"token_ids": [[…], …], "type_ids": [[…], …]}, and gets a
logits.json, [[…], …], or, where there is a modules.json of sentence-transformers, an embeddings.json. The weights are
read as a plain state_dict by the few lines below.
"""

import json
import math
import os
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
        self.uneven_layers = config.get("fettle_layers")
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

    def heads(self, layer, usual):
        return self.uneven_layers[layer]["n_heads"] if self.uneven_layers else usual

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
ALBERT = {
    "q": "attention.query", "k": "attention.key", "v": "attention.value", "attention": "attention.dense",
    "attention_norm": "attention.LayerNorm", "inner": "ffn", "output": "ffn_output",
    "output_norm": "full_layer_layer_norm",
}


def embed(encoder, prefix, ids, types, positions):
    state = encoder.state
    x = state[prefix + "word_embeddings.weight"][ids]
    if types is not None:
        x = x + state[prefix + "token_type_embeddings.weight"][types]
    x = x + state[prefix + "position_embeddings.weight"][positions]
    return encoder.norm(x, prefix + "LayerNorm")


def bert(encoder, ids, types, mask):
    config = encoder.config
    x = embed(encoder, "bert.embeddings.", ids, types, torch.arange(ids.shape[1]))
    for i in range(config["num_hidden_layers"]):
        n_heads = encoder.heads(i, config["num_attention_heads"])
        x = encoder.layer(x, mask, n_heads, f"bert.encoder.layer.{i}.", BERT)
    return x


def bert_head(encoder, x):
    return encoder.linear(torch.tanh(encoder.linear(x[:, 0], "bert.pooler.dense")), "classifier")


def roberta(encoder, ids, types, mask):
    config = encoder.config
    # Real tokens are counted from pad_token_id + 1 on; padding stays at pad_token_id.
    positions = (mask.cumsum(1) * mask).long() + config["pad_token_id"]
    x = embed(encoder, "roberta.embeddings.", ids, torch.zeros_like(ids), positions)
    for i in range(config["num_hidden_layers"]):
        n_heads = encoder.heads(i, config["num_attention_heads"])
        x = encoder.layer(x, mask, n_heads, f"roberta.encoder.layer.{i}.", BERT)
    return x


def roberta_head(encoder, x):
    return encoder.linear(torch.tanh(encoder.linear(x[:, 0], "classifier.dense")), "classifier.out_proj")


def albert(encoder, ids, types, mask):
    config = encoder.config
    x = embed(encoder, "albert.embeddings.", ids, types, torch.arange(ids.shape[1]))
    x = encoder.linear(x, "albert.encoder.embedding_hidden_mapping_in")
    n_layers, n_groups = config["num_hidden_layers"], config["num_hidden_groups"]
    for i in range(n_layers):
        group = int(i / (n_layers / n_groups))
        for block in range(config["inner_group_num"]):
            prefix = f"albert.encoder.albert_layer_groups.{group}.albert_layers.{block}."
            x = encoder.layer(x, mask, config["num_attention_heads"], prefix, ALBERT)
    return x


def albert_head(encoder, x):
    return encoder.linear(torch.tanh(encoder.linear(x[:, 0], "albert.pooler")), "classifier")


def distilbert(encoder, ids, types, mask):
    config = encoder.config
    x = embed(encoder, "distilbert.embeddings.", ids, None, torch.arange(ids.shape[1]))
    for i in range(config["n_layers"]):
        n_heads = encoder.heads(i, config["n_heads"])
        x = encoder.layer(x, mask, n_heads, f"distilbert.transformer.layer.{i}.", DISTILBERT)
    return x


def distilbert_head(encoder, x):
    return encoder.linear(F.relu(encoder.linear(x[:, 0], "pre_classifier")), "classifier")


FORWARD = {
    "bert": (bert, bert_head), "distilbert": (distilbert, distilbert_head), "roberta": (roberta, roberta_head),
    "xlm-roberta": (roberta, roberta_head), "albert": (albert, albert_head),
}


def read_json(path):
    with open(path) as file:
        return json.load(file)


def pool(x, mask, config):
    """Pooling of sentence-transformers, the kinds in its order."""
    mask = mask[:, :, None]
    parts = []
    if config["pooling_mode_cls_token"]:
        parts.append(x[:, 0])
    if config["pooling_mode_max_tokens"]:
        parts.append(x.masked_fill(mask == 0, -1e9).max(1).values)
    total, count = (x * mask).sum(1), mask.sum(1)
    if config["pooling_mode_mean_tokens"]:
        parts.append(total / count)
    if config["pooling_mode_mean_sqrt_len_tokens"]:
        parts.append(total / count.sqrt())
    return torch.cat(parts, 1)


def sentence_embeddings(folder, modules, x, mask):
    for module in modules[1:]:
        path, kind = folder + "/" + module["path"], module["type"].split(".")[-1]
        if kind == "Pooling":
            x = pool(x, mask, read_json(path + "/config.json"))
        elif kind == "Normalize":
            x = F.normalize(x, p=2, dim=1)
        elif kind == "Dense":
            config, state = read_json(path + "/config.json"), read_state_dict(path + "/model.safetensors")
            x = F.linear(x, state["linear.weight"], state["linear.bias"] if config["bias"] else None)
            x = torch.tanh(x) if config["activation_function"].endswith("Tanh") else x
    return x


def run(folder):
    config, batch = read_json(folder + "/config.json"), read_json(folder + "/batch.json")
    encoder = Encoder(config, read_state_dict(folder + "/model.safetensors"))
    ids, mask = padded(batch["token_ids"])
    types, _ = padded(batch["type_ids"])
    hidden, head = FORWARD[config["model_type"]]
    with torch.no_grad():
        x = hidden(encoder, ids, types, mask)
        if os.path.exists(folder + "/modules.json"):
            name, rows = "embeddings", sentence_embeddings(folder, read_json(folder + "/modules.json"), x, mask)
        else:
            name, rows = "logits", head(encoder, x)
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(rows.tolist(), file)


if __name__ == "__main__":
    for model_folder in sys.argv[1:]:
        run(model_folder)
