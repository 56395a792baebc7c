"""Golden ids of the tokenizer tests, by Hugging Face tokenizers 0.23.3 (Python 3, gguf 0.19 for the SmolLM2 file).

    python tests/oracle/tokenizer.py SmolLM2-135M-Instruct.Q4_1.gguf tests/data/tokenizer

Writes strings.jsonl (one JSON string a line), for each vocabulary ids-NAME.txt (a line per string: the first 6 hex digits
of the SHA-256 of the comma-joined ids; for the first 200 strings the ids themselves behind it), the small vocabularies
NAME.json trained here, ids-special.txt (gpt-2.json's ids of the strings with a "<", special tokens looked for), cuts-NAME.txt (the pre-tokenisers' words)
and decode.jsonl (id lists of SmolLM2's vocabulary that may end inside a character, and their text).
Everything is seeded: a second run writes the same bytes.
"""
import hashlib
import json
import random
import sys
import unicodedata

import oracle_model as om
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LLAMA = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA.replace(r"\p{N}{1,3}", r"\p{N}")

WORDS = """o a de que não do da em um para com uma os no se na por mais as dos como mas ao ele das à seu sua ou quando muito
nos já eu também só pelo pela até isso ela entre depois sem mesmo aos seus quem nas me esse eles você essa num nem suas meu às
minha numa pelos elas qual nós lhe deles essas esses pelas este dele coração ação avó avô pôr português Brasil Lisboa governo
eleições inflação ministério câmbio água lingüiça país saúde educação violência população crédito polícia juízes órgão
the of and to in is you that it he was for on are with his they I at be this have from or one had by word but not what all were
we when your can said there use an each which she do how their if will up other about out many then them these so some her would
make like him into time has look two more write go see number no way could people my than first water been call who oil its now
find long down day did get come made may part don't can't it's we're I've they'd he'll I'm DON'T IT'S WE'RE I'VE THEY'D HE'LL
O'Neill rock'n'roll d'água copo-d'água""".split()
SCRIPTS = ["日本語の文章です。東京は大きい都市だ。", "中文字符测试,北京是中国的首都。", "한국어 문장을 시험합니다.", "Русский текст о погоде в Москве.",
           "النص العربي من اليمين إلى اليسار", "עברית מימין לשמאל", "हिन्दी में एक वाक्य है।", "ภาษาไทยไม่มีช่องว่าง",
           "Ελληνικά γράμματα και τόνοι", "Tiếng Việt có nhiều dấu thanh", "ქართული ენა", "ᐃᓄᒃᑎᑐᑦ", "አማርኛ ጽሑፍ"]
EMOJI = "😀 😂 🥲 👍🏽 👩‍💻 👨‍👩‍👧‍👦 🇧🇷 🇵🇹 ❤️ ☕️ 🏳️‍🌈 1️⃣ ©️ ™ 🫠 🧑🏿‍🚀".split(" ")
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u202f", "\u2028", "\u2029",
          "\u0085", "\u180e", "\ufeff", "\u1680", "\x0b", "\x0c", "\x1c", "\x1f", "\u2060"]
CODE = ["for (int i = 0; i < n; i++) {\n    sum += a[i] * b[i];\n}\n", "def f(x):\n\treturn {'a': x, \"b\": [1, 2.5e-3]}\n",
        "SELECT COUNT(*) FROM t WHERE x >= 10 AND y != 'z';", "#include <stdio.h>\nint main(void){return 0;}",
        "{\"f1\": {\"polaridade\": \"Positivo\", \"emocao\": \"Felicidade\"}}", "<div class=\"x\">&nbsp;</div>", "a==b&&c||!d ? e->f : *g",
        "https://example.com/a?b=c&d=%20#frag", "C:\\Users\\x\\y.txt", "0x1F 0b101 1_000 3.14e+10 .5 5.", "user@example.org"]
NUMBERS = ["0", "42", "1234567890", "3,14", "R$ 1.234,56", "12/05/2024", "10:30", "½", "²³", "١٢٣", "四五六", "Ⅷ", "①②③", "৩৪", "1st", "50%",
           "x2y3", "007", "1e-05", "99999999999999999999"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<|im_start|>user\n", "<|begin_of_text|>", "<|eot_id|>",
           "<|im_", "|im_end|>", "<|im_end|><|im_end|>", "<extra>", "<extra><extra>", "<ext", "<|im_start|", "<empty_output>"]
MARKS = ["e\u0301", "a\u0303o", "n\u0303", "\u0301", "c\u0327a\u0303o", "Z\u0351\u036b\u0343", "ｆｕｌｌ", "ﬁ ﬂ ﬅ", "'ſ", "'ſT", "İ'S", "ß'Ss", "\u0345", "'\u017f", "'Tenho", "'SIM", "'llama", "x'REx", "'Velha", "'mas"]


def code_point(rng):
    """Any assigned or unassigned scalar value, the lower planes more often."""
    while True:
        top = rng.choice([0x80, 0x250, 0x800, 0x3000, 0x10000, 0x20000, 0x33480, 0x110000])
        c = rng.randrange(top)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def sentence(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 14))]
    if rng.random() < .5:
        words[0] = words[0].capitalize()
    return rng.choice([" ", " ", " ", ", ", "\n", "  "]).join(words) + rng.choice(["", ".", "!", "?", "...", "…", " —", ";\n"])


def mixture(rng):
    pools = [WORDS, EMOJI, SPACES, NUMBERS, SPECIAL, MARKS, list("!?.,;:()[]{}'\"-_/\\@#$%^&*+=~`|<>")]
    out = ""
    for _ in range(rng.randint(1, 9)):
        pool = rng.choice(pools)
        out += rng.choice(pool) if rng.random() < .9 else rng.choice(CODE + SCRIPTS)[:rng.randint(1, 20)]
        out += rng.choice(["", "", " "])
    return out


def strings():
    rng = random.Random(20241124)
    out = ["", " ", "a", "Olá, mundo!", "A bolsa caiu ontem, mas hoje o mercado subiu 1,5%."]
    out += SCRIPTS + EMOJI + SPACES + CODE + NUMBERS + SPECIAL + MARKS
    out += [chr(c) for c in range(0x180)] + ["a" + chr(c) + "1" for c in range(0x20)]
    out += [s + t for s in SPACES for t in ("x", " x", "1", "!", "\n")]
    out += ["x" + s + s + "y" for s in SPACES]
    out += [c * n for c in "a 1!é\n\t漢" for n in (2, 3, 4, 7, 16, 33, 100)]
    while len(out) < 2600:
        out.append(sentence(rng))
    while len(out) < 4300:
        out.append(mixture(rng))
    while len(out) < 5100:
        out.append("".join(code_point(rng) for _ in range(rng.randint(1, 12))))
    while len(out) < 5300:
        out.append("".join(rng.choice(SPACES + ["a", "1", "."]) for _ in range(rng.randint(2, 14))))
    return out


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def small(name, corpus):
    """600 tokens trained under a pre-tokeniser, special tokens outside of the vocabulary proper, one added plain token."""
    t = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    t.pre_tokenizer = {"smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                          pre_tokenizers.ByteLevel(add_prefix_space=False)]),
                       "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
                       "llama-bpe": split(LLAMA), "qwen2": split(QWEN2)}[name]
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=600, show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if name == "llama-bpe":  # a token that merges alone never make: only ignore_merges finds it
        d = json.loads(t.to_str())
        d["model"]["vocab"]["Ġgovernos"] = len(d["model"]["vocab"])
        t = Tokenizer.from_str(json.dumps(d))
        t.add_special_tokens([AddedToken(s, special=True) for s in
                              ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")])
        bos = t.token_to_id("<|begin_of_text|>")
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B", special_tokens=[("<|begin_of_text|>", bos)])])
    else:
        t.add_special_tokens([AddedToken(s, special=True) for s in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    t.add_tokens([AddedToken("<extra>", special=False)])
    return t


def digest(ids):
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:6]


def write_ids(path, t, texts, special=False):
    t.encode_special_tokens = not special
    with open(path, "w", newline="\n") as f:
        for i, e in enumerate(t.encode_batch(texts, add_special_tokens=False)):
            f.write(digest(e.ids) + (" " + ",".join(map(str, e.ids)) if i < 200 and not special else "") + "\n")


def write_cuts(path, t, texts):
    """Lengths in bytes of the words that the pre-tokeniser makes of a text, a digest for every eight texts."""
    cuts = [",".join(str(len(word)) for word, _ in t.pre_tokenizer.pre_tokenize_str(s)) for s in texts]
    with open(path, "w", newline="\n") as f:
        for i in range(0, len(cuts), 8):
            f.write(hashlib.sha256("\n".join(cuts[i:i + 8]).encode()).hexdigest()[:6] + "\n")


def write_decodes(path, t, texts):
    """Random cuts and random ids, so that characters break in every way; special tokens skipped."""
    rng = random.Random(7)
    with open(path, "w", newline="\n") as f:
        for i in range(600):
            ids = t.encode(rng.choice(texts), add_special_tokens=False).ids
            a = rng.randrange(len(ids) + 1)
            ids = ids[a:a + rng.randint(1, 12)]
            if i % 2:
                ids += [rng.randrange(0, 260) for _ in range(rng.randint(1, 6))]
                rng.shuffle(ids)
            f.write(json.dumps([ids, t.decode(ids, skip_special_tokens=True)], ensure_ascii=False, separators=(",", ":")) + "\n")


def main(gguf, out):
    texts = strings()
    assert len(texts) >= 5000
    with open(f"{out}/strings.jsonl", "w", newline="\n") as f:
        for s in texts:
            f.write(json.dumps(s, ensure_ascii=any(ord(c) < 32 or unicodedata.category(c) in ("Cn", "Co", "Cc") for c in s)) + "\n")
    big = om.tokenizer(gguf)
    write_ids(f"{out}/ids-smollm2.txt", big, texts)
    write_decodes(f"{out}/decode.jsonl", big, texts)
    rng = random.Random(1)
    corpus = [sentence(rng) for _ in range(3000)] + SCRIPTS + CODE + NUMBERS + [" governo governos"] * 3
    for name in ("smollm", "gpt-2", "llama-bpe", "qwen2"):
        t = small(name, corpus)
        with open(f"{out}/{name}.json", "w", newline="\n") as f:
            json.dump(json.loads(t.to_str()), f, ensure_ascii=False, separators=(",", ":"))
        write_ids(f"{out}/ids-{name}.txt", t, texts)
        write_cuts(f"{out}/cuts-{name}.txt", t, texts)
        if name == "gpt-2":
            write_ids(f"{out}/ids-special.txt", t, [s for s in texts if "<" in s], special=True)


main(*sys.argv[1:])
