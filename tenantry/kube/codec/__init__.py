"""Objects as bytes and bytes as objects: JSON, YAML, protobuf, Tables, and the form in which values are stored."""
