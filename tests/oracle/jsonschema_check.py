"""Answers of generate that python's jsonschema (4.26, Draft202012Validator) finds wrong, one line each; nothing when all fit.
usage: jsonschema_check.py SCHEMA.json ANSWERS.jsonl"""
import json, sys
from jsonschema import Draft202012Validator, FormatChecker

validator = Draft202012Validator(json.load(open(sys.argv[1])), format_checker=FormatChecker())
for i, line in enumerate(open(sys.argv[2])):
    r = json.loads(line)
    try:
        problem = next((e.message for e in validator.iter_errors(json.loads(r["output"]))), None)
    except (KeyError, ValueError) as x:
        problem = repr(x)
    if problem: print(f"{r.get('id', i)}: {problem}: {r.get('output')}")
