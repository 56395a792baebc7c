"""Golden logits of SmolLM2 at a few positions: the 50 largest, 500 spread over the vocabulary, and the largest magnitude.
Run: FETCHED=.fetched python tests/oracle/logits.py"""
import oracle_model as om

TEXTS = [
    "The first programmable computers were built in the 1940s. They filled whole rooms, and",
    "A bolsa caiu ontem, mas hoje o mercado abriu em alta. O ministro disse que a inflação está sob controle e que",
    "<|im_start|>user\nList three fruits.<|im_end|>\n<|im_start|>assistant\n",
    "Polaridade e emoção de cada frase, em JSON:\nf1: \"O time venceu por 3 a 0.\"\nf2: \"Choveu 120 mm em 2 horas.\"\nResultado: {\"f1\":",
]
POSITIONS = [0, 0.4, 1]  # of each text, as parts of its length
SAMPLES = 500


def golden(logits, at):
    V = logits.shape[0]
    top = logits.topk(50)
    first, step = at % 97, V // SAMPLES
    return {"at": at, "max": float(logits.abs().max()), "top_ids": top.indices.tolist(),
            "top": [round(x, 5) for x in top.values.tolist()], "first": first, "step": step,
            "samples": [round(x, 5) for x in logits[first::step][:SAMPLES].tolist()]}


def main():
    import torch
    path = om.model_path()
    model, tk = om.load(path), om.tokenizer(path)
    out = []
    for text in TEXTS:
        ids = tk.encode(text).ids
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        at = sorted({int(p * (len(ids) - 1)) for p in POSITIONS})
        out += [{"ids": ids, "rows": [golden(logits[i], i) for i in at]}]
    om.write("logits", {"prompts": out})


main()
