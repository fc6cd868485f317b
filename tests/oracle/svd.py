"""Singular values of a matrix, and the least errors of its approximations, by numpy.

Arguments: rows, columns, file of f32 [rows, columns], and for weighted errors a file of f32 inputs [n, columns]. Prints one JSON object:
singular values, and for each rank |W - W_r|, or with inputs the least |(W - W') X'| over all W' of that rank (by the pseudo-inverse of the
inputs: X W' is the projection of X W' = X W on its leading directions).
"""
import json
import sys

import numpy

rows, columns = int(sys.argv[1]), int(sys.argv[2])
weight = numpy.fromfile(sys.argv[3], dtype="<f4").reshape(rows, columns).astype(numpy.float64)
outputs = weight
if len(sys.argv) > 4:
    inputs = numpy.fromfile(sys.argv[4], dtype="<f4").reshape(-1, columns).astype(numpy.float64)
    outputs = inputs @ weight.T
values = numpy.linalg.svd(outputs, compute_uv=False)
errors = [float(numpy.sqrt((values[rank:] ** 2).sum())) for rank in range(len(values) + 1)]
print(json.dumps({"values": values.tolist(), "errors": errors, "norm": float(numpy.linalg.norm(outputs))}))
