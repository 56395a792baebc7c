#!/usr/bin/env python3
"""A GGUF model with its first N layers only, bytes unchanged: small enough to carry to a machine with a card.
shorten_gguf.py IN.gguf N OUT.gguf     (gguf 0.19)"""
import re
import sys

import gguf

source, layers, target = sys.argv[1], int(sys.argv[2]), sys.argv[3]
r = gguf.GGUFReader(source)
arch = r.fields["general.architecture"].contents()
w = gguf.GGUFWriter(target, arch)
for name, field in r.fields.items():
    if name.startswith("GGUF.") or name == "general.architecture":
        continue
    value = layers if name == f"{arch}.block_count" else field.contents()
    kind = field.types[0]
    w.add_key_value(name, value, kind, sub_type=field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
for t in r.tensors:
    block = re.match(r"blk\.(\d+)\.", t.name)
    if not block or int(block[1]) < layers:
        w.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
