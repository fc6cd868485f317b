"""Importance of a BERT's heads by PyTorch's own differentiation (Michel, Levy & Neubig 2019).

    head_importance.py MODEL_FOLDER

Beside the model's files stands a batch.json, {"token_ids": [[…], …], "type_ids": [[…], …], "labels": […]}; the folder
gets an importance.json, {"gradient": [[…], …], "taylor": [[…], …]}, scores by layer and head.
"""

import json
import os
import sys

import torch
from torch.nn import functional as F

import bert_forward


class GatedEncoder(bert_forward.Encoder):
    gates = ()

    def attend(self, q, k, v, mask, n_heads):
        out = super().attend(q, k, v, mask, n_heads)
        gate = torch.ones(n_heads, requires_grad=True)
        self.gates = (*self.gates, gate)
        return (out.view(*out.shape[:2], n_heads, -1) * gate[None, None, :, None]).reshape(out.shape)


def gradients(encoder, token_ids, type_ids, label):
    encoder.gates = ()
    ids, mask = bert_forward.padded([token_ids])
    types, _ = bert_forward.padded([type_ids])
    logits = bert_forward.bert_head(encoder, bert_forward.bert(encoder, ids, types, mask))
    loss = F.cross_entropy(logits, torch.tensor([label]))
    return torch.autograd.grad(loss, encoder.gates)


def main(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    with open(os.path.join(folder, "batch.json")) as file:
        batch = json.load(file)
    encoder = GatedEncoder(config, bert_forward.read_state_dict(os.path.join(folder, "model.safetensors")))
    examples = zip(batch["token_ids"], batch["type_ids"], batch["labels"])
    by_example = [gradients(encoder, *example) for example in examples]
    by_layer = [torch.stack(layer) for layer in zip(*by_example)]
    scores = {
        "gradient": [layer.abs().mean(0).tolist() for layer in by_layer],
        "taylor": [layer.mean(0).abs().tolist() for layer in by_layer],
        "fisher": [(layer ** 2).mean(0).tolist() for layer in by_layer],
    }
    with open(os.path.join(folder, "importance.json"), "w") as file:
        json.dump(scores, file)


main(sys.argv[1])
