"""Loads an adapter with PEFT over a Hugging Face base and prints what its config says, then "name sha256" of each
parameter: peft_load.py BASE ADAPTER. Run by test_lora when PEERS_PYTHON names a Python with torch and peft."""
import hashlib, os, sys, warnings
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.simplefilter("error", UserWarning)  # PEFT warns about missing and unexpected keys
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

base = LlamaForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
m = PeftModel.from_pretrained(base, sys.argv[2])
c = m.peft_config["default"]
print("config", c.r, float(c.lora_alpha), c.lora_dropout, c.use_rslora, c.bias, c.task_type)
for name, v in sorted(m.named_parameters()):
    if "lora_" in name:
        print(name.replace(".default.", "."), hashlib.sha256(v.detach().float().numpy().tobytes()).hexdigest())
