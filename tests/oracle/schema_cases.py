#!/usr/bin/env python3
"""Random schemas and instances with the verdict of python's jsonschema: tests/data/json/schema.jsonl.
Made with jsonschema 4.26. Run: python3 tests/oracle/schema_cases.py >tests/data/json/schema.jsonl"""
import json
import random

from jsonschema import Draft202012Validator

rng = random.Random(20)
NAMES = ["a", "b", "f1", "é"]
SCALARS = [None, True, False, 0, 1, 1.0, 1.5, -1, 0.25, 10, 12345678901234567890, "", "a", "b", "ab", "é", "aé😀"]


def some(names, most):
    return rng.sample(names, rng.randrange(most))


def instance(depth):
    kind = rng.randrange(6) if depth else 0
    if kind < 3:
        return rng.choice(SCALARS)
    if kind == 3:
        return [instance(depth - 1) for _ in range(rng.randrange(4))]
    return {k: instance(depth - 1) for k in some(NAMES, 4)}


def leaf():
    return rng.choice([
        lambda: ("type", rng.choice(["null", "boolean", "number", "string", "array", "object", "integer", ["string", "integer"]])),
        lambda: ("enum", [instance(1) for _ in range(rng.randrange(1, 5))]),
        lambda: ("const", instance(2)),
        lambda: ("required", some(NAMES, 3)),
        lambda: (rng.choice(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]), rng.randrange(4)),
        lambda: ("pattern", rng.choice(["^a", "b$", "^f\\d$", "é", "^.$", "[ab]{2}"])),
        lambda: (rng.choice(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), rng.choice([0, 1, 1.5, 3])),
        lambda: ("multipleOf", rng.choice([1, 2, 0.5, 3])),
        lambda: ("uniqueItems", rng.random() < 0.8),
        lambda: (rng.choice(["minContains", "maxContains"]), rng.randrange(3)),
        lambda: ("$ref", "#/$defs/%d" % rng.randrange(2)),
    ])()


def branch(depth):
    sub = lambda: schema(depth - 1)
    return rng.choice([
        lambda: ("properties", {k: sub() for k in some(NAMES, 3)}),
        lambda: ("additionalProperties", sub()),
        lambda: ("patternProperties", {rng.choice(["^f", "a", "\\d"]): sub()}),
        lambda: ("propertyNames", sub()),
        lambda: ("items", sub()),
        lambda: ("prefixItems", [sub() for _ in range(rng.randrange(1, 3))]),
        lambda: ("contains", sub()),
        lambda: (rng.choice(["allOf", "anyOf", "oneOf"]), [sub() for _ in range(rng.randrange(1, 4))]),
        lambda: ("not", sub()),
        lambda: (rng.choice(["if", "then", "else"]), sub()),
    ])()


def schema(depth):
    if rng.random() < 0.07:
        return rng.random() < 0.5
    return dict(branch(depth) if depth and rng.random() < 0.5 else leaf() for _ in range(rng.randrange(1, 4)))


def main():
    seen = {True: 0, False: 0}
    while min(seen.values()) < 300:
        s, v = schema(3), instance(3)
        if not isinstance(s, dict):
            continue
        s["$defs"] = {"0": {"type": ["array", "string"]}, "1": schema(1)}
        try:
            valid = Draft202012Validator(s).is_valid(v)
        except RecursionError:
            continue
        if "$ref" in json.dumps(s["$defs"]) or len(json.dumps(s)) > 400 or seen[valid] == 300:
            continue
        seen[valid] += 1
        print(json.dumps({"valid": valid, "schema": s, "instance": v}, ensure_ascii=False, separators=(",", ":")))


main()
