#!/usr/bin/python3
"""A training step of a BERT-shaped encoder without embeddings in PyTorch, interleaved with ours.

    torch_train_step.py PATH/TO/train_step [layers hidden sequences length threads rounds]

Prints the ratio of the medians. Debian's PyTorch uses whatever libblas.so.3 is; the OpenMP build of OpenBLAS is its best on several
threads (package libopenblas0-openmp):

    LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/openblas-openmp torch_train_step.py ...
"""
import statistics
import subprocess
import sys
import time

import torch


class Layer(torch.nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.query = torch.nn.Linear(hidden, hidden)
        self.key = torch.nn.Linear(hidden, hidden)
        self.value = torch.nn.Linear(hidden, hidden)
        self.output = torch.nn.Linear(hidden, hidden)
        self.norm1 = torch.nn.LayerNorm(hidden)
        self.up = torch.nn.Linear(hidden, 4 * hidden)
        self.down = torch.nn.Linear(4 * hidden, hidden)
        self.norm2 = torch.nn.LayerNorm(hidden)
        self.dropout = torch.nn.Dropout(0.1)

    def forward(self, x):
        batch, length, hidden = x.shape

        def split(y):
            return y.view(batch, length, self.heads, hidden // self.heads).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = q @ k.transpose(-1, -2) / (hidden // self.heads) ** 0.5
        context = self.dropout(torch.softmax(scores, -1)) @ v
        context = context.transpose(1, 2).reshape(batch, length, hidden)
        x = self.norm1(x + self.dropout(self.output(context)))
        y = self.down(torch.nn.functional.gelu(self.up(x)))
        return self.norm2(x + self.dropout(y))


def main():
    program = sys.argv[1]
    defaults = [12, 768, 32, 16, 2, 5]
    given = [int(a) for a in sys.argv[2:]]
    layers, hidden, sequences, length, threads, rounds = given + defaults[len(given):]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[Layer(hidden, hidden // 64) for _ in range(layers)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.01)
    x = torch.randn(sequences, length, hidden)

    def torch_step():
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = (model(x)[:, 0] ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return 1e3 * (time.perf_counter() - begin)

    ours = subprocess.Popen([program] + [str(a) for a in (layers, hidden, sequences, length, threads, 1)] + ["serve"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def our_step():
        ours.stdin.write("\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    torch_step()
    our_step()
    theirs_ms, ours_ms = [], []
    for _ in range(rounds):
        theirs_ms.append(torch_step())
        ours_ms.append(our_step())
        ours_ms.append(our_step())
    ours.stdin.close()
    ours.wait()
    ratio = statistics.median(theirs_ms) / statistics.median(ours_ms)
    print(f"torch {torch.__version__}: {statistics.median(theirs_ms):.0f} ms, "
          f"fettle: {statistics.median(ours_ms):.0f} ms a step (medians); ratio {ratio:.2f}; "
          f"of the least times {min(theirs_ms) / min(ours_ms):.2f}")


if __name__ == "__main__":
    main()
