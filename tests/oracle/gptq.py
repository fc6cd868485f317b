"""GPTQ (Frantar et al. 2022) of one weight on a given grid, by numpy, column by column as the paper's algorithm 1 has it.

Arguments: rows, columns, group size, lowest, highest, damping, act-order (0 or 1), and files: weight f32 [rows, columns], moment f32
[columns, columns], scales f32 [rows, groups], zeros u8 [rows, groups], integers i32 [rows, columns] to write.
"""
import sys

import numpy

rows, columns, group, lowest, highest = (int(a) for a in sys.argv[1:6])
damping, act_order = float(sys.argv[6]), sys.argv[7] == "1"
weight = numpy.fromfile(sys.argv[8], dtype="<f4").reshape(rows, columns).astype(numpy.float64)
moment = numpy.fromfile(sys.argv[9], dtype="<f4").reshape(columns, columns).astype(numpy.float64)
scales = numpy.fromfile(sys.argv[10], dtype="<f4").reshape(rows, -1).astype(numpy.float64)
zeros = numpy.fromfile(sys.argv[11], dtype="u1").reshape(rows, -1).astype(numpy.float64)

hessian = 2 * moment
order = numpy.argsort(-numpy.diag(hessian), kind="stable") if act_order else numpy.arange(columns)
hessian = hessian[numpy.ix_(order, order)]
hessian += damping * numpy.diag(hessian).mean() * numpy.eye(columns)
upper = numpy.linalg.cholesky(numpy.linalg.inv(hessian)).T

rest = weight[:, order].copy()
integers = numpy.zeros((rows, columns), dtype="<i4")
for i in range(columns):
    column = order[i]
    scale, zero = scales[:, column // group], zeros[:, column // group]
    q = numpy.clip(numpy.rint(rest[:, i] / scale) + zero, lowest, highest)
    integers[:, column] = q
    error = (rest[:, i] - (q - zero) * scale) / upper[i, i]
    rest[:, i:] -= numpy.outer(error, upper[i, i:])
integers.tofile(sys.argv[12])
