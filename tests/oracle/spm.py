"""Golden data of SentencePiece's kinds of tokenizer, by sentencepiece 0.2.3 and tokenizers 0.23.3 (gguf 0.19 writes the file).

    python tests/oracle/spm.py tests/data/tokenizer/strings.jsonl tests/data/spm

Trains a small BPE vocabulary with byte fallback in Llama's manner (identity, a space in front, single digits, spaces kept) and
writes it as spm.gguf (scores, no merges, no tensors) and spm.json (merges as transformers makes them); ids-NAME.txt holds a
digest for every eight strings: `sentencepiece` by the library itself, the others by tokenizers under each way of putting the
"▁". special.jsonl: texts with special and added tokens looked for, their ids under `prepend` and `first`; decode.jsonl: ids
and their text. A second run writes the same bytes.
"""
import hashlib
import io
import json
import random
import sys

import gguf
import sentencepiece as spm
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPACE = "\u2581"


def train(texts):
    out = io.BytesIO()
    corpus = [s.replace("\n", " ").replace("\0", " ") for s in texts if s.strip()]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus + ["a  b   c    d     e      f"] * 200), model_writer=out, model_type="bpe", vocab_size=1000, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, split_digits=True,
        allow_whitespace_only_pieces=True, character_coverage=0.995, num_threads=1, minloglevel=2, max_sentence_length=100000)
    return spm.SentencePieceProcessor(model_proto=out.getvalue())


def kind(sp, i):
    return 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 5 if sp.is_unused(i) else 6 if sp.is_byte(i) else 1


def write_gguf(path, sp):
    n = sp.get_piece_size()
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([sp.id_to_piece(i) for i in range(n)])
    w.add_token_scores([sp.get_score(i) for i in range(n)])
    w.add_token_types([kind(sp, i) for i in range(n)])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def merges_of(vocab, scores):
    """transformers' way: all pairs that make a piece, by score, the longer left half first."""
    out = []
    for piece, score in scores.items():
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        out += [(a, b, score) for a, b in pairs if a in scores and b in scores]
    return [(a, b) for a, b, _ in sorted(out, key=lambda x: (x[2], len(x[0]), len(x[1])), reverse=True)]


def make(sp, prefix):
    n = sp.get_piece_size()
    vocab = {sp.id_to_piece(i): i for i in range(n)}
    scores = {sp.id_to_piece(i): sp.get_score(i) for i in range(n) if kind(sp, i) == 1}
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges_of(vocab, scores), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", SPACE)
    if prefix == "prepend":
        t.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace])
    elif prefix == "none":
        t.normalizer = normalizers.Sequence([replace])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme=prefix, split=False)
    strip = [] if prefix == "none" else [decoders.Strip(" ", 1, 0)]
    t.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<unk>", "<s>", "</s>")])
    t.add_tokens([AddedToken("<extra>", special=False, normalized=False)])
    return t


def write_digests(path, ids):
    lines = [",".join(map(str, x)) for x in ids]
    with open(path, "w", newline="\n") as f:
        for i in range(0, len(lines), 8):
            f.write(hashlib.sha256("\n".join(lines[i:i + 8]).encode()).hexdigest()[:6] + "\n")


def encode_all(t, texts, special):
    t.encode_special_tokens = not special
    return [e.ids for e in t.encode_batch(texts, add_special_tokens=False)]


def special_texts(texts):
    rng = random.Random(5)
    out = ["<s>", "<s> a", " <s>a", "a<s>", "a <s> b", "<extra>", "<extra> a", "a <extra>b", "<s><extra></s>", "a<s>  b"]
    while len(out) < 150:
        parts = [rng.choice(texts)[:12] for _ in range(rng.randint(1, 3))]
        out.append("".join(p + rng.choice(["<s>", "</s>", "<extra>", "", " "]) for p in parts))
    return out


def write_special(path, texts, a, b):
    with open(path, "w", newline="\n") as f:
        for row in zip(texts, encode_all(a, texts, True), encode_all(b, texts, True)):
            f.write(json.dumps(row, separators=(",", ":")) + "\n")


def write_decodes(path, t, texts):
    """Cuts of whole texts; where a cut breaks a character, both sides of the difference are left out (see tokenizer_decode.c)."""
    rng = random.Random(7)
    with open(path, "w", newline="\n") as f:
        while f.tell() < 20000:
            ids = t.encode(rng.choice(texts), add_special_tokens=False).ids
            a = rng.randrange(len(ids) + 1)
            ids = ids[a:a + rng.randint(1, 12)]
            text = t.decode(ids, skip_special_tokens=True)
            if "\ufffd" not in text:
                f.write(json.dumps([ids, text], separators=(",", ":")) + "\n")


def main(strings, out):
    texts = [json.loads(s) for s in open(strings, encoding="utf-8")]
    sp = train(texts[:4300])
    write_gguf(f"{out}/spm.gguf", sp)
    write_digests(f"{out}/ids-sentencepiece.txt", [sp.encode(s) for s in texts])
    all_ids = [set(sp.encode(s)) for s in texts]
    made = {p: make(sp, p) for p in ("prepend", "none", "first", "always")}
    for name, t in made.items():
        ids = encode_all(t, texts, False)
        write_digests(f"{out}/ids-{name}.txt", ids)
        if name == "prepend":
            print("differ from sentencepiece itself:", sum(a != sp.encode(s) for a, s in zip(ids, texts)))
    print("strings with byte tokens:", sum(any(sp.is_byte(i) for i in ids) for ids in all_ids), "of", len(texts))
    with open(f"{out}/spm.json", "w", newline="\n") as f:
        json.dump(json.loads(made["prepend"].to_str()), f, ensure_ascii=False, separators=(",", ":"))
    write_special(f"{out}/special.jsonl", special_texts(texts), made["prepend"], made["first"])
    write_decodes(f"{out}/decode.jsonl", made["prepend"], texts)


main(*sys.argv[1:])
