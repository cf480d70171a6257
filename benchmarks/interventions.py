"""Time many plans measured in one sweep over the layers, against evaluating their masked models one by one.

python benchmarks/interventions.py                       # the embedded model, or random weights of its shape
python benchmarks/interventions.py --folder CHECKPOINT   # another one, its layers in memory and read as they run
python benchmarks/interventions.py --tiny                # a dry run in seconds
"""

import argparse
import tempfile
from pathlib import Path

from engines import CPU, EMBEDDED, SMOLLM2, TINY
from measure import as_table, dense_flops, describe, intervention_runs, matmul_peak, random_windows, take_turns

from prunescope.models.adapter import adapter_for
from prunescope.models.loading import calibration_dtype, compute_dtype, load_checkpoint, load_offloaded


def main() -> None:
    """Print a table with the layers in memory, and one with layers that are read as they run."""
    told = parse()
    dtype = compute_dtype(calibration_dtype(told.dtype), CPU)
    with tempfile.TemporaryDirectory() as temporary:
        folder = told.folder or next(iter(sorted(Path().glob(EMBEDDED))), None)
        if told.tiny or folder is None:
            folder = Path(temporary)
            (TINY if told.tiny else SMOLLM2).build(dtype, CPU).save_pretrained(folder)
        peak = matmul_peak(dtype, CPU)
        for name, load in {"in memory": load_checkpoint, "read as they run": load_offloaded}.items():
            adapter = adapter_for(load(folder, dtype, CPU))
            windows = random_windows(adapter.model, told.windows, told.tokens)
            results = take_turns(intervention_runs(adapter, windows, told.plans, told.singles), told.rounds, CPU)
            title = f"{told.plans} plans, {told.windows} x {told.tokens}, layers {name}"
            table = as_table(title, results, dense_flops(adapter, windows), windows.numel(), peak)
            print(f"{describe(adapter, peak)}\n\n{table}\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="a checkpoint")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--plans", type=int, default=64)
    parser.add_argument("--singles", type=int, default=8, help="plans that are measured one by one; the rest is scaled")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
