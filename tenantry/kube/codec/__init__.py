"""Encoding and decoding of objects: JSON, YAML, protobuf, Tables, and the stored form."""
