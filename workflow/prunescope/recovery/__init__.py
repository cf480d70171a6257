"""Recovery: LoRA fine-tuning of a pruned model, by peft and transformers' Trainer, merged into its weights."""
