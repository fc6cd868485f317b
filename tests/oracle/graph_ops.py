# Values of PyTorch in float64 for src/graph/oracle_test.cc: python3 graph_ops.py OUTPUT.json
import json
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def flat(tensor):
    return tensor.detach().reshape(-1).tolist()


def leaf(*shape):
    return (1.5 * torch.randn(*shape)).requires_grad_()


def case(inputs, result, wrt):
    """The result, and the gradients of its product with fixed numbers."""
    weights = torch.randn(result.shape)
    grads = torch.autograd.grad((result * weights).sum(), wrt)
    return {
        "inputs": {name: flat(value) for name, value in inputs.items()},
        "result": flat(result),
        "d_result": flat(weights),
        "gradients": [flat(grad) for grad in grads],
    }


def layer_norm():
    x, gamma, beta = leaf(5, 8), leaf(8), leaf(8)
    y = F.layer_norm(x, (8,), gamma, beta, 1e-5)
    return case({"x": x, "gamma": gamma, "beta": beta}, y, [x, gamma, beta])


def activation(function):
    x = leaf(40)
    return case({"x": x}, function(x), [x])


def cross_entropy(smoothing):
    x = leaf(6, 5)
    labels = torch.tensor([0, 4, -100, 2, 2, -100])
    return case({"x": x}, F.cross_entropy(x, labels, label_smoothing=smoothing).reshape(1), [x])


def weighted_cross_entropy(smoothing):
    x = leaf(6, 5)
    weight = torch.tensor([0.5, 2.0, 3.0, 1.0, 0.25])
    labels = torch.tensor([0, 4, -100, 2, 2, -100])
    loss = F.cross_entropy(x, labels, weight=weight, label_smoothing=smoothing).reshape(1)
    return case({"x": x, "weight": weight}, loss, [x])


def binary_cross_entropy():
    x, targets = leaf(6, 5), (torch.randn(6, 5) > 0.3).double()
    return case({"x": x, "targets": targets}, F.binary_cross_entropy_with_logits(x, targets).reshape(1), [x])


def distillation(temperature):
    student, teacher = leaf(6, 5), torch.randn(6, 5) * 2
    loss = F.kl_div(F.log_softmax(student / temperature, -1), F.softmax(teacher / temperature, -1), reduction="batchmean")
    return case({"student": student, "teacher": teacher}, (temperature**2 * loss).reshape(1), [student])


def attention():
    """Offsets 0, 3, 4, 9; 2 heads of 4."""
    q, k, v = leaf(9, 8), leaf(9, 8), leaf(9, 8)
    parts = []
    for begin, end in ((0, 3), (3, 4), (4, 9)):
        heads = [t[begin:end].reshape(-1, 2, 4).transpose(0, 1) for t in (q, k, v)]
        scores = heads[0] @ heads[1].transpose(1, 2) / 2
        parts.append((scores.softmax(-1) @ heads[2]).transpose(0, 1).reshape(-1, 8))
    return case({"q": q, "k": k, "v": v}, torch.cat(parts), [q, k, v])


def relation(of_values):
    """Offsets 0, 3, 4, 9; 2 heads; student width 8, teacher width 12."""
    a = leaf(9, 8)
    b = a if of_values else leaf(9, 8)
    teacher_a, teacher_b = torch.randn(9, 12), torch.randn(9, 12)
    if of_values:
        teacher_b = teacher_a
    total = 0
    for begin, end in ((0, 3), (3, 4), (4, 9)):
        logs = []
        for x, y in ((a, b), (teacher_a, teacher_b)):
            heads = [t[begin:end].reshape(end - begin, 2, -1).transpose(0, 1) for t in (x, y)]
            scores = heads[0] @ heads[1].transpose(1, 2) / heads[0].shape[-1] ** 0.5
            logs.append(scores.log_softmax(-1))
        total = total + F.kl_div(logs[0], logs[1], reduction="sum", log_target=True)
    inputs = {"a": a, "b": b, "teacher_a": teacher_a, "teacher_b": teacher_b}
    return case(inputs, (total / (9 * 2)).reshape(1), [a] if of_values else [a, b])


def cosine():
    student, teacher = leaf(6, 5), torch.randn(6, 5)
    loss = F.cosine_embedding_loss(student, teacher, torch.ones(6))
    return case({"student": student, "teacher": teacher}, loss.reshape(1), [student])


def mean_squared_error():
    student, teacher = leaf(6, 5), torch.randn(6, 5)
    return case({"student": student, "teacher": teacher}, F.mse_loss(student, teacher).reshape(1), [student])


class StraightThrough(torch.autograd.Function):
    """The mask of the best scores; backward hands its gradient to the scores (Sanh et al. 2020)."""

    @staticmethod
    def forward(ctx, scores, keep):
        mask = torch.zeros_like(scores)
        mask.view(-1)[scores.reshape(-1).argsort(descending=True)[:keep]] = 1
        return mask

    @staticmethod
    def backward(ctx, d_mask):
        return d_mask, None


def movement(block_rows, block_columns):
    """A linear of masked weights; W [8, 12], keeping 5 of the blocks."""
    x, weight = leaf(3, 12), leaf(8, 12)
    scores = leaf(8 // block_rows, 12 // block_columns)
    mask = StraightThrough.apply(scores, 5)
    masked = weight * mask.repeat_interleave(block_rows, 0).repeat_interleave(block_columns, 1)
    inputs = {"x": x, "weight": weight, "scores": scores, "mask": mask}
    return case(inputs, x @ masked.t(), [x, weight, scores])


def hard_concrete():
    """Louizos et al. 2018: gates on weights, with given noise u, and the expected number of open gates."""
    beta, gamma, zeta = 2 / 3, -0.1, 1.1
    log_alpha, u = leaf(6, 4), torch.rand(6, 4)
    s = torch.sigmoid((u.log() - (1 - u).log() + log_alpha) / beta)
    gates = torch.clamp(s * (zeta - gamma) + gamma, 0, 1)
    return case({"log_alpha": log_alpha, "u": u}, gates, [log_alpha])


def open_gates():
    log_alpha = leaf(6, 4)
    open_probability = torch.sigmoid(log_alpha - 2 / 3 * torch.log(torch.tensor(0.1 / 1.1)))
    return case({"scores": log_alpha}, (3 * open_probability.mean()).reshape(1), [log_alpha])


def through_rounding(x):
    """Rounds; the gradient is that of the identity."""
    return x + (x.round() - x).detach()


def fake_quantize(block_rows, block_columns, lowest, highest, with_zeros):
    """Learned step sizes (Esser et al. 2020); x [8, 12], gradients of the steps scaled by 0.3."""
    x = leaf(8, 12)
    blocks = (8 // block_rows, 12 // block_columns)
    steps = (0.2 + 0.5 * torch.rand(*blocks)).requires_grad_()
    zeros = torch.randint(lowest, highest + 1, blocks).double() if with_zeros else torch.zeros(blocks)

    def of_elements(of_blocks):
        return of_blocks.repeat_interleave(block_rows, 0).repeat_interleave(block_columns, 1)

    scaled = 0.3 * steps + (0.7 * steps).detach()
    v = torch.maximum(torch.minimum(x / of_elements(scaled), highest - of_elements(zeros)), lowest - of_elements(zeros))
    y = through_rounding(v) * of_elements(scaled)
    return case({"x": x, "steps": steps, "zeros": zeros}, y, [x, steps])


def fake_quantize_rows():
    x = leaf(5, 6)
    step = (x.abs().amax(1, keepdim=True) / 127).detach()
    return case({"x": x}, through_rounding(x / step) * step, [x])


cases = {
    "layer_norm": layer_norm(),
    "gelu": activation(F.gelu),
    "gelu_tanh": activation(lambda x: F.gelu(x, approximate="tanh")),
    "cross_entropy": cross_entropy(0.0),
    "cross_entropy_smooth": cross_entropy(0.1),
    "distillation_1": distillation(1.0),
    "distillation_4": distillation(4.0),
    "attention": attention(),
    "cross_entropy_weighted": weighted_cross_entropy(0.0),
    "cross_entropy_weighted_smooth": weighted_cross_entropy(0.1),
    "binary_cross_entropy": binary_cross_entropy(),
    "relation": relation(False),
    "relation_of_values": relation(True),
    "cosine": cosine(),
    "mean_squared_error": mean_squared_error(),
    "movement": movement(1, 1),
    "movement_of_blocks": movement(4, 3),
    "hard_concrete": hard_concrete(),
    "open_gates": open_gates(),
    "fake_quantize": fake_quantize(1, 12, -2, 1, False),
    "fake_quantize_groups": fake_quantize(1, 4, -4, 3, False),
    "fake_quantize_zeros": fake_quantize(1, 4, 0, 7, True),
    "fake_quantize_tensor": fake_quantize(8, 12, -8, 7, False),
    "fake_quantize_rows": fake_quantize_rows(),
}
with open(sys.argv[1], "w") as output:
    json.dump(cases, output)
