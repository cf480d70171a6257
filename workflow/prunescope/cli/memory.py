"""What a person can do about a command that ran out of memory."""

LIMIT = "or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more beside the weights"
"""For commands that read a model larger than that layer by layer."""

CALIBRATION = f"lower calibration.seq_len, {LIMIT}"
PERPLEXITY = f"take shorter windows in evaluation.protocols, {LIMIT}"
ZEROSHOT = f"lower evaluation.zeroshot.batch_size, {LIMIT}"
WAYS_OUT = {
    "gradients": CALIBRATION,
    "removal": CALIBRATION,
    "baseline": PERPLEXITY,
    "evaluate": PERPLEXITY,
    "evaluate-recovered": PERPLEXITY,
    "zeroshot-baseline": ZEROSHOT,
    "zeroshot": ZEROSHOT,
    "efficiency": "the models must all fit on one device together: lower evaluation.efficiency.batch_sizes "
    "or prompt, or set evaluation.efficiency to null",
    "recover": "the model must fit on one device as a whole: take a larger one, or leave recovery out",
}


def way_out(command: str) -> str:
    """Return what to do, by the name of the command."""
    return WAYS_OUT.get(command, "free the machine of other work, or take a larger one")
