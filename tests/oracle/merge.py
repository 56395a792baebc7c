"""What transformers and PEFT say of a directory that lora-merge wrote: merge.py LIMIT BASE MERGED ADAPTER[=SCALE]...
BASE in f32 with the adapters in PEFT, against MERGED loaded by itself: exits 1 when a logit differs by more than LIMIT of the
largest, or the tokenizer of MERGED is not BASE's. Run by t3-lora-merge.sh under PEERS_PYTHON; written for torch 2.15.0,
transformers 5.23.0, peft 0.21.2."""
import os, sys, warnings
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

limit, base_dir, merged_dir = float(sys.argv[1]), sys.argv[2], sys.argv[3]
adapters = [(a.partition("=")[0], float(a.partition("=")[2] or 1)) for a in sys.argv[4:]]
torch.set_num_threads(1)


def with_adapters():
    """All of them in one PeftModel, active together, each times its scale."""
    base = LlamaForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    names = [f"a{i}" for i in range(len(adapters))]
    peft = PeftModel.from_pretrained(base, adapters[0][0], adapter_name=names[0])
    for name, (path, _) in zip(names[1:], adapters[1:]):
        peft.load_adapter(path, adapter_name=name)
    peft.base_model.set_adapter(names)
    for module in peft.modules():
        for name, (_, scale) in zip(names, adapters):
            if isinstance(getattr(module, "scaling", None), dict) and name in module.scaling:
                module.scaling[name] *= scale
    return peft.eval()


merged, info = AutoModelForCausalLM.from_pretrained(merged_dir, dtype=torch.float32, output_loading_info=True)
problems = {k: v for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")}
if problems:
    sys.exit(f"{merged_dir}: {problems}")
want = with_adapters()
vocab = merged.config.vocab_size
ids = torch.tensor([[(i * 37 + 11) % vocab for i in range(60)]])
with torch.no_grad():
    x, y = want(ids).logits, merged.eval()(ids).logits
apart = (x - y).abs().max().item() / x.abs().max().item()
print(f"largest difference {apart:.3g} of the largest logit {x.abs().max().item():.4g}")
a, b = AutoTokenizer.from_pretrained(base_dir), AutoTokenizer.from_pretrained(merged_dir)
text = "A bolsa caiu ontem."
if a(text).input_ids != b(text).input_ids:
    sys.exit("the tokenizers differ")
sys.exit(0 if apart <= limit else 1)
