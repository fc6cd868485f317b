"""The loss of distillation and its gradients by PyTorch in float64, sequence by sequence.

    distill_loss.py CASE.json OUTPUT.json

The case names the folders of student and teacher (BERT, f32), gives token ids and labels (-1: none), and says what is
matched with which weights. The output has the loss, its parts, and the gradients of the parameters that are asked for.
"""

import json
import sys

import torch
from torch.nn import functional as F

case_path, output_path = sys.argv[1:]
sys.argv = sys.argv[:1]

from bert_forward import BERT, Encoder, embed, read_json, read_state_dict  # noqa: E402

torch.set_num_threads(1)


class Tapped(Encoder):
    """Remembers queries, keys, values, hidden states and embeddings."""

    def __init__(self, folder, trained):
        state = {name: value.double() for name, value in read_state_dict(folder + "/model.safetensors").items()}
        if trained:
            state = {name: value.requires_grad_() for name, value in state.items()}
        super().__init__(read_json(folder + "/config.json"), state)

    def forward(self, ids):
        n_heads = self.config["num_attention_heads"]
        taps = {"hidden": [], "q": [], "k": [], "v": []}
        x = embed(self, "bert.embeddings.", ids, torch.zeros_like(ids), torch.arange(ids.shape[1]))
        taps["embeddings"] = x[0]
        for i in range(self.config["num_hidden_layers"]):
            prefix = f"bert.encoder.layer.{i}."
            for part in ("q", "k", "v"):
                taps[part].append(self.linear(x, prefix + BERT[part])[0])
            x = self.layer(x, torch.ones(ids.shape, dtype=torch.double), n_heads, prefix, BERT)
            taps["hidden"].append(x[0])
        pooled = torch.tanh(self.linear(x[:, 0], "bert.pooler.dense"))
        taps["logits"] = self.linear(pooled, "classifier")[0]
        return taps


def as_kept(taps):
    """Features of a teacher are kept as bf16, logits are not."""
    def rounded(x):
        return x.float().bfloat16().double()

    return {name: value if name == "logits" else rounded(value) if name == "embeddings" else [rounded(x) for x in value]
            for name, value in taps.items()}


def relation(a, b, n_heads):
    heads = [t.view(t.shape[0], n_heads, -1).transpose(0, 1) for t in (a, b)]
    return (heads[0] @ heads[1].transpose(1, 2) / heads[0].shape[-1] ** 0.5).log_softmax(-1)


def relation_loss(students, teachers, pair, parts, n_heads):
    total, rows = 0, 0
    for student, teacher in zip(students, teachers):
        ours = relation(*(student[part][pair[0]] for part in parts), n_heads)
        theirs = relation(*(teacher[part][pair[1]] for part in parts), n_heads)
        total = total + F.kl_div(ours, theirs, reduction="sum", log_target=True)
        rows += ours.shape[0] * ours.shape[1]
    return total / rows


def squared_error(students, teachers, weight):
    ours, theirs = torch.cat(students), torch.cat(teachers)
    return F.mse_loss(ours if weight is None else ours @ weight.T, theirs)


def mean(terms):
    return sum(terms) / len(terms)


case = read_json(case_path)
student, teacher = Tapped(case["student"], True), Tapped(case["teacher"], False)
projections = {
    name: None if value is None else torch.tensor(value, dtype=torch.double).requires_grad_()
    for name, value in case["projections"].items()
}
rows = [torch.tensor([ids]) for ids in case["token_ids"]]
students = [student.forward(ids) for ids in rows]
with torch.no_grad():
    teachers = [as_kept(teacher.forward(ids)) for ids in rows]

alpha, temperature = case["alpha"], case["temperature"]
logits = torch.stack([taps["logits"] for taps in students])
targets = torch.stack([taps["logits"] for taps in teachers])
parts = {
    "hard": F.cross_entropy(logits, torch.tensor(case["labels"]), ignore_index=-1),
    "soft": temperature**2
    * F.kl_div(F.log_softmax(logits / temperature, -1), F.softmax(targets / temperature, -1), reduction="batchmean"),
    "embeddings": squared_error([t["embeddings"] for t in students], [t["embeddings"] for t in teachers],
                                projections["embeddings"]),
    "hidden": mean([
        squared_error([taps["hidden"][s] for taps in students], [taps["hidden"][t] for taps in teachers],
                      projections["hidden"])
        for s, t in case["layers"]
    ]),
    "attention": mean([relation_loss(students, teachers, pair, "qk", case["relation_heads"]) for pair in case["layers"]]),
    "values": mean([relation_loss(students, teachers, pair, "vv", case["relation_heads"]) for pair in case["layers"]]),
}
weights = {"hard": alpha, "soft": 1 - alpha, **case["weights"]}
loss = sum(weights[name] * part for name, part in parts.items())
wanted = {name: student.state[name] for name in case["gradients"]}
wanted.update({f"projection of {name}": value for name, value in projections.items() if value is not None})
gradients = torch.autograd.grad(loss, list(wanted.values()))
with open(output_path, "w") as output:
    json.dump({
        "loss": loss.item(),
        "parts": {name: part.item() for name, part in parts.items()},
        "gradients": {name: gradient.reshape(-1).tolist() for name, gradient in zip(wanted, gradients)},
    }, output)
