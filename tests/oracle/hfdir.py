"""What others make of directories that coador writes, asked of transformers 5.23.3 and tokenizers 0.23.3.

    python tests/oracle/hfdir.py tokenizer DIR tests/data/tokenizer   ids of all strings equal the goldens of SmolLM2's vocabulary, by
                                                                      tokenizers and by transformers; prints tokenizer.json's SHA-256
    python tests/oracle/hfdir.py greedy DIR PROMPTS N                 JSONL of {"prompt"} to lines of N greedy ids (joined by commas)
"""
import hashlib
import json
import sys


def check_tokenizer(folder, data):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer
    t = Tokenizer.from_file(f"{folder}/tokenizer.json")
    t.encode_special_tokens = True
    auto = AutoTokenizer.from_pretrained(folder, split_special_tokens=True)
    texts = [json.loads(s) for s in open(f"{data}/strings.jsonl", encoding="utf-8")]
    want = [s.rstrip("\n") for s in open(f"{data}/ids-smollm2.txt")]
    assert len(texts) == len(want) >= 5000
    for text, line, e in zip(texts, want, t.encode_batch(texts, add_special_tokens=False)):
        ids = ",".join(map(str, e.ids))
        assert hashlib.sha256(ids.encode()).hexdigest()[:6] == line[:6], (text, ids, line)
        again = auto.encode(text, add_special_tokens=False)
        assert again == e.ids, (text, again, e.ids)
    print(hashlib.sha256(open(f"{folder}/tokenizer.json", "rb").read()).hexdigest())


def greedy(folder, prompts, n):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    t = AutoTokenizer.from_pretrained(folder)
    m = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for line in open(prompts, encoding="utf-8"):
        ids = t(json.loads(line)["prompt"], add_special_tokens=False, return_tensors="pt")
        out = m.generate(**ids, max_new_tokens=int(n), do_sample=False, pad_token_id=0)
        print(",".join(map(str, out[0, ids["input_ids"].shape[1]:].tolist())))


{"tokenizer": check_tokenizer, "greedy": greedy}[sys.argv[1]](*sys.argv[2:])
