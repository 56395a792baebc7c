"""Learning rates of transformers' get_scheduler and TrainingArguments' count of warm-up steps, for
tests/common/test_train_order.c. Run once with transformers 5.23.0, torch 2.15.0:
    python3 tests/oracle/train_schedules.py >tests/data/train/schedules.csv"""
import torch
from transformers import TrainingArguments, get_scheduler

print("kind,warmup_steps,total,done,factor")
for kind in ("constant", "constant_with_warmup", "linear", "cosine"):
    for total, given in ((1, 0), (7, 0), (10, 3), (20, 0.03), (100, 0.1), (203, 0.05), (10, 10), (5, 12)):
        opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        warm = TrainingArguments(output_dir="unused", warmup_steps=given, use_cpu=True).get_warmup_steps(total)
        sched = get_scheduler(kind, opt, num_warmup_steps=warm, num_training_steps=total)
        for done in range(total):
            if done < 4 or done % 17 == 0 or done == total - 1:
                print(f"{kind},{given},{total},{done},{sched.get_last_lr()[0]:.17g}")
            opt.step()
            sched.step()
