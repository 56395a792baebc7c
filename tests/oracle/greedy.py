"""Greedy continuations of SmolLM2: 64 ids of 25 prompts, and how far the best logit was above the second at each step.
Run: FETCHED=.fetched python tests/oracle/greedy.py"""
import oracle_model as om

STEPS = 64
PROMPTS = [
    "Water boils at",
    "The first programmable computers were built in the 1940s. They",
    "A bolsa caiu ontem, mas hoje o mercado",
    "Once upon a time, in a village by the sea, there lived a",
    "def fibonacci(n):\n    ",
    "The capital of Portugal is Lisbon. The capital of Brazil is",
    "O presidente do Brasil afirmou nesta terça-feira que",
    "1, 2, 3, 4, 5, 6, 7, 8,",
    "Receita de bolo de cenoura:\n\nIngredientes:\n-",
    "Photosynthesis is the process by which",
    "<|im_start|>user\nWhat is the largest planet?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou answer briefly.<|im_end|>\n<|im_start|>user\nName the colours of the rainbow.<|im_end|>\n<|im_start|>assistant\n",
    "A chuva forte deixou ruas alagadas em São Paulo. Os bombeiros",
    "Dear Sir or Madam,\n\nI am writing to",
    "The",
    "Era uma vez um menino que gostava de ler. Todos os dias, depois da escola, ele ia até a biblioteca e",
    "{\"name\": \"Ana\", \"age\": 31, \"city\": \"Porto\"}\n{\"name\": \"Bruno\", \"age\":",
    "Q: How many legs does a spider have?\nA:",
    "In 1969, Neil Armstrong became the first person to walk on the Moon. Fifty years later, space agencies",
    "O café brasileiro é conhecido no mundo todo porque",
    "Classify the sentiment.\nText: I loved this film.\nSentiment: positive\nText: The food was cold and the waiter rude.\nSentiment:",
    "Newton's three laws of motion describe the relation between a body and the forces acting on it. The first law says that a body at rest "
    "stays at rest, and one in motion stays in motion, unless a force acts on it. The second law",
    "Cientistas da universidade descobriram uma nova espécie de sapo na Mata Atlântica. O animal, que mede menos de dois centímetros, "
    "vive entre as folhas do chão e canta apenas à noite. Segundo os pesquisadores,",
    "## How to make tea\n\n1. Boil the water.\n2.",
    "Le chat est sur",
]


def continue_greedily(model, ids):
    """64 ids whatever the end token does: a longer comparison, and no special case."""
    import torch
    past, step, out, gaps = None, torch.tensor([ids]), [], []
    for _ in range(STEPS):
        r = model(step, past_key_values=past, use_cache=True)
        past, top = r.past_key_values, r.logits[0, -1].topk(2)
        out.append(int(top.indices[0]))
        gaps.append(round(float(top.values[0] - top.values[1]), 5))
        step = torch.tensor([[out[-1]]])
    return out, gaps


def main():
    import torch
    path = om.model_path()
    model, tk = om.load(path), om.tokenizer(path)
    rows = []
    with torch.no_grad():
        for text in PROMPTS:
            ids = tk.encode(text).ids
            out, gaps = continue_greedily(model, ids)
            rows.append({"text": text, "ids": ids, "greedy": out, "gap": gaps})
    om.write("greedy", {"prompts": rows})


main()
