"""A pruned checkpoint can be trained further: gradient checkpointing, LoRA."""

import torch

from checkpoints.cases import load


def loss_of(model, tokens):
    return model(tokens, labels=tokens).loss


def test_gradient_checkpointing(case, tokens):
    gradients = []
    for checkpointing in (False, True):
        model = case.pruned().train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            assert model.is_gradient_checkpointing
        loss_of(model, tokens).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    torch.testing.assert_close(*gradients)


def test_lora_step_merge_save_reload(case, tokens, tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(case.pruned(), LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"]))
    before = loss_of(adapted, tokens)
    before.backward()
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # the first step moves B alone, which starts at zero
        optimizer.step()
        optimizer.zero_grad()
        loss_of(adapted, tokens).backward()
    adapted.eval()
    with torch.no_grad():
        trained = adapted(tokens).logits
        assert loss_of(adapted, tokens) < before
        adapted.save_pretrained(tmp_path / "adapter")
        attached = PeftModel.from_pretrained(case.pruned(), tmp_path / "adapter")
        torch.testing.assert_close(attached(tokens).logits, trained)
        adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
        merged = load(tmp_path / "merged", trust_remote_code=True)
        torch.testing.assert_close(merged(tokens).logits, trained)
