"""Twenty LoRA steps of SmolLM2 by transformers + PEFT in fp32: losses, global gradient norms, and each tensor's gradient
norm at the first step. The first adapter comes from an integer hash, so that the data need not hold it; B is not zero,
so every gradient is live. Dropout's masks are those of kernels/dropout.h (Philox4x32-10, one mask an input), put in
place of PEFT's lora_dropout modules. Batches are padded here and packed there.
Run: FETCHED=.fetched python tests/oracle/lora_steps.py"""
import numpy as np
import oracle_model as om
from hashed import hashed

STEPS, BATCH, LR, MAX_NORM, SEED = 20, 3, 4e-4, 0.3, 20240607
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
INPUT_OF = {"q_proj": 0, "k_proj": 0, "v_proj": 0, "o_proj": 1, "gate_proj": 2, "up_proj": 2, "down_proj": 3}
RUNS = [{"name": "r4", "r": 4, "alpha": 16, "dropout": 0.0, "weight_decay": 0.0},
        {"name": "r16", "r": 16, "alpha": 16, "dropout": 0.0, "weight_decay": 0.01},
        {"name": "r16-dropout", "r": 16, "alpha": 16, "dropout": 0.1, "weight_decay": 0.0}]
# Enough texts that none is learnt by heart, and a scale of 1 at r 16. With half the texts and a scale of 4 twenty steps
# amplify rounding so much that this script's own norms in fp32 and fp64 part by 3e-5.
TEXTS = [  # prompt and completion; only the completion is trained
    ("Frase: O time venceu por 3 a 0 e a torcida fez festa.\nResultado:", " {\"polaridade\": \"Positivo\", \"emocao\": \"Felicidade\"}"),
    ("Frase: Choveu forte e a ponte caiu.\nResultado:", " {\"polaridade\": \"Negativo\", \"emocao\": \"Medo\"}"),
    ("The committee will meet", " on Thursday to discuss the budget."),
    ("Frase: A fila do banco andou devagar.\nResultado:", " {\"polaridade\": \"Negativo\", \"emocao\": \"Raiva\"}"),
    ("Translate: bom dia ->", " good morning"),
    ("Frase: O relatório será publicado amanhã.\nResultado:", " {\"polaridade\": \"Neutro\", \"emocao\": \"Neutro\"}"),
    ("Water boils at 100 degrees", " Celsius at sea level, and at lower temperatures on mountains."),
    ("Frase: Encontraram comida estragada na escola.\nResultado:", " {\"polaridade\": \"Negativo\", \"emocao\": \"Nojo\"}"),
    ("Q: What is 7 + 5?\nA:", " 12"),
    ("Frase: Ninguém esperava, mas a banda voltou!\nResultado:", " {\"polaridade\": \"Positivo\", \"emocao\": \"Surpresa\"}"),
    ("Era uma vez", " um menino que gostava de ler à noite."),
    ("Frase: O deputado riu da pergunta.\nResultado:", " {\"polaridade\": \"Negativo\", \"emocao\": \"Desprezo\"}"),
    ("The old bridge over the river", " was closed in March, after engineers found cracks in two of its pillars."),
    ("Cidade: Recife. Estado:", " Pernambuco. Cidade: Ouro Preto. Estado: Minas Gerais."),
    ("Summary: profits rose by 12 %, but", " the company warned that next year will be harder."),
    ("def area(w, h):\n", "    return w * h\n"),
    ("Vovó dizia que o segredo do feijão", " está no alho dourado sem pressa."),
    ("Q: Who wrote Dom Casmurro?\nA:", " Machado de Assis, in 1899."),
    ("Colours: red, green,", " blue, yellow, violet"),
    ("O trem das 7h15 saiu", " com vinte minutos de atraso, e ninguém na plataforma soube dizer por quê."),
    ("Translate: thank you ->", " obrigado"),
    ("Bees visit flowers to", " collect nectar; on the way they carry pollen from one plant to another."),
    ("Previsão para sábado:", " sol pela manhã, nuvens à tarde e máxima de 31 graus."),
    ("{\"id\": 7, \"tags\":", " [\"novo\", \"frágil\"]}"),
]


def philox(counter, key):
    """Ten rounds of Philox4x32 (Salmon et al., SC'11) on arrays: counter (4, …) and key (2) of 32-bit words."""
    c = [x.astype(np.uint64) for x in counter]
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & low, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def mask(p, step, layer, site, B, T, C):
    """(B,T,C) multipliers 0 or 1/(1-p): sequence b of the step, position t, column c."""
    p = float(np.float32(p))
    seq, pos, col = np.meshgrid(np.arange(B), np.arange(T), np.arange(C // 4), indexing="ij")
    key = (SEED & 0xFFFFFFFF, (SEED >> 32) ^ (layer << 8 | site))
    u = np.stack(philox([col, pos, seq, np.full_like(seq, step)], key), -1).reshape(B, T, C)
    return np.where(u >= int(p * 2**32), np.float32(1 / (1 - p)), np.float32(0))


class Masks:
    """One mask an input, shared by the modules that read it, for the step that runs."""

    def __init__(self, p):
        self.p, self.step, self.cache = p, 0, {}

    def start(self, step):
        self.step, self.cache = step, {}

    def get(self, layer, site, shape):
        import torch
        if (layer, site) not in self.cache:
            self.cache[layer, site] = torch.from_numpy(mask(self.p, self.step, layer, site, *shape))
        return self.cache[layer, site]


def inject_masks(model, masks):
    import torch

    class Drop(torch.nn.Module):
        def __init__(self, layer, site):
            super().__init__()
            self.layer, self.site = layer, site

        def forward(self, x):
            return x * masks.get(self.layer, self.site, tuple(x.shape))

    for name, m in model.named_modules():
        if hasattr(m, "lora_dropout"):
            part = name.split(".")
            m.lora_dropout["default"] = Drop(int(part[part.index("layers") + 1]), INPUT_OF[part[-1]])


def tensors_in_order(model):
    """(number, name, parameter) in the order of common/model/lora.h: layer, site, A then B."""
    found = {}
    for name, p in model.named_parameters():
        if "lora_" in name:
            part = name.split(".")
            layer, site = int(part[part.index("layers") + 1]), TARGETS.index(next(t for t in part if t in TARGETS))
            found[layer * 14 + site * 2 + ("lora_B" in name)] = p
    return sorted(found.items())


def make_batch(tk, at):
    """Rows of a step: ids, and how many of the first are prompt."""
    rows = []
    for i in range(BATCH):
        prompt, completion = TEXTS[(at * BATCH + i) % len(TEXTS)]
        a, b = tk.encode(prompt).ids, tk.encode(completion).ids
        rows.append((a + b + [2], len(a)))
    return rows


def step_loss(model, rows):
    import torch
    T = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([x + [2] * (T - len(x)) for x, _ in rows])
    attend = torch.tensor([[1] * len(x) + [0] * (T - len(x)) for x, _ in rows])
    labels = torch.tensor([[-100] * n + x[n:] + [-100] * (T - len(x)) for x, n in rows])
    # In f32 torch's log-softmax over 49152 logits comes out 8e-6 too small (on the same logits in f64: no such bias), which
    # is most of the tolerance; so the loss alone is taken in f64.
    logits = model(input_ids=ids, attention_mask=attend).logits.double()
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def run(path, tk, cfg):
    import torch
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(om.load(path), LoraConfig(r=cfg["r"], lora_alpha=cfg["alpha"], lora_dropout=cfg["dropout"],
                                                     target_modules=TARGETS, bias="none", task_type="CAUSAL_LM"))
    masks = Masks(cfg["dropout"])
    if cfg["dropout"]:
        inject_masks(model, masks)
    model.train()
    params = tensors_in_order(model)
    with torch.no_grad():
        for number, p in params:
            scale = np.float32(2.0**-7 if number % 2 else 2.0**-5)
            p.copy_(torch.from_numpy(hashed(number, p.numel()) * scale).reshape(p.shape))
    opt = torch.optim.AdamW([p for _, p in params], lr=LR, weight_decay=cfg["weight_decay"])
    losses, norms, first = [], [], []
    for step in range(STEPS):
        masks.start(step)
        loss = step_loss(model, make_batch(tk, step))
        opt.zero_grad()
        loss.backward()
        if step == 0:
            first = [float(p.grad.double().norm()) for _, p in params]
        norms.append(float(torch.nn.utils.clip_grad_norm_([p for _, p in params], MAX_NORM)))
        losses.append(float(loss.detach()))
        opt.step()
    print(cfg["name"], [round(x, 4) for x in losses], [round(x, 2) for x in norms], len(first))
    return cfg | {"loss": losses, "norm": norms, "tensor_norm": [float(f"{x:.7g}") for x in first]}


def main():
    path = om.model_path()
    tk = om.tokenizer(path)
    rows = [r for at in range(len(TEXTS) // BATCH) for r in make_batch(tk, at)]
    om.write("lora_steps", {"seed": SEED, "steps": STEPS, "batch": BATCH, "lr": LR, "max_grad_norm": MAX_NORM,
                            "sequences": [{"ids": ids, "prompt": n} for ids, n in rows],
                            "runs": [run(path, tk, cfg) for cfg in RUNS]})


main()
