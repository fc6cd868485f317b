"""Prints a safetensors file read by json and numpy alone: metadata, then one line per tensor with its bytes in hexadecimal."""
import json
import sys

import numpy

NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
         "BOOL": "?"}

with open(sys.argv[1], "rb") as file:
    content = file.read()
n_header = int.from_bytes(content[:8], "little")
header = json.loads(content[8:8 + n_header])
data = content[8 + n_header:]
assert n_header % 8 == 0, "header is not padded"
print("metadata", json.dumps(header.pop("__metadata__", {}), sort_keys=True))
for name in sorted(header):
    entry = header[name]
    begin, end = entry["data_offsets"]
    dtype = numpy.dtype(NUMPY[entry["dtype"]])
    assert (8 + n_header + begin) % dtype.itemsize == 0, "data is not aligned"
    values = numpy.frombuffer(data[begin:end], dtype=dtype).reshape(entry["shape"])
    print(name, entry["dtype"], "x".join(map(str, values.shape)) or "scalar", values.tobytes().hex() or "-")
