"""PyTorch's AdamW with clipping by the global norm, on numbers that the test makes too.

    adamw.py OUTPUT.json [FACTOR]

Two parameters, a matrix [7, 5] with weight decay and a vector [5] without; six steps at a falling rate, the matrix at
FACTOR times it. Averages of the weights keep min(0.3, (1 + step) / (10 + step)) of themselves in each step, from 1.
"""
import json
import math
import sys

import torch


def start(n, phase):
    return [math.sin(0.7 * i + phase) for i in range(n)]


def gradient(n, step, phase):
    return [3.0 * math.cos(0.3 * i * (step + 1) + phase) for i in range(n)]


def main():
    factor = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    matrix = torch.nn.Parameter(torch.tensor(start(35, 0.0)).reshape(7, 5))
    vector = torch.nn.Parameter(torch.tensor(start(5, 1.0)))
    optimizer = torch.optim.AdamW([{"params": [matrix], "weight_decay": 0.1}, {"params": [vector], "weight_decay": 0.0}],
                                  betas=(0.9, 0.98), eps=1e-6)
    norms = []
    averages = [matrix.detach().double().clone(), vector.detach().double().clone()]
    for step in range(6):
        for group, share in zip(optimizer.param_groups, (factor, 1.0)):
            group["lr"] = 0.05 * (1 - step / 6) * share
        matrix.grad = torch.tensor(gradient(35, step, 0.0)).reshape(7, 5)
        vector.grad = torch.tensor(gradient(5, step, 2.0))
        norms.append(float(torch.nn.utils.clip_grad_norm_([matrix, vector], 2.0)))
        optimizer.step()
        keeps = min(0.3, (2 + step) / (11 + step))
        for average, weights in zip(averages, (matrix, vector)):
            average.mul_(keeps).add_(weights.detach().double(), alpha=1 - keeps)
    result = {"matrix": matrix.detach().flatten().tolist(), "vector": vector.detach().tolist(), "norms": norms,
              "average of matrix": averages[0].flatten().tolist(), "average of vector": averages[1].tolist()}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
