"""Reads TensorBoard event files by the format's rules alone, every checksum checked, and prints the events as JSON.

    read_events.py FILE...
"""
import json
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # the check value of the CRC catalogues


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frames(data):
    at = 0
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        assert crc == masked(data[at : at + 8]), "length checksum"
        payload = data[at + 12 : at + 12 + length]
        (crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert len(payload) == length and crc == masked(payload), "data checksum"
        yield payload
        at += 16 + length


def fields(data):
    """(number, value) pairs of a protobuf message: ints, raw bytes of fixed widths, or bytes."""

    def varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at

    at = 0
    while at < len(data):
        key, at = varint(at)
        kind = key & 7
        if kind == 0:
            value, at = varint(at)
        elif kind == 2:
            size, at = varint(at)
            value, at = data[at : at + size], at + size
            assert len(value) == size
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def event(payload):
    result = {"step": 0, "scalars": {}}
    for number, value in fields(payload):
        if number == 1:
            (result["wall_time"],) = struct.unpack("<d", value)
        elif number == 2:
            result["step"] = value
        elif number == 3:
            result["file_version"] = value.decode()
        elif number == 5:
            for _, summary_value in fields(value):
                parts = dict(fields(summary_value))
                (scalar,) = struct.unpack("<f", parts[2])
                result["scalars"][parts[1].decode()] = scalar
        elif number == 7:
            result["session_status"] = dict(fields(value))[1]
        else:
            raise AssertionError(f"field {number}")
    return result


files = []
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        files.append([event(payload) for payload in frames(file.read())])
json.dump(files, sys.stdout)
