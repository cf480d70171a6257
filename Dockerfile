# The environment; the checkout is mounted, with its configuration, resources/ and results/.
#
#   docker build -t prunescope .                             PyTorch for CPUs
#   docker build -t prunescope --build-arg TORCH=cuda .      PyTorch with CUDA; then docker run --gpus all ...
#   docker run --rm -it --user "$(id -u):$(id -g)" -v "$PWD:/work" -v ~/.cache/huggingface:/cache prunescope
#   docker run ... prunescope snakemake --cores all results/SmolLM2-135M/taylor_T1_tau0_20_wiki
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /work

ARG TORCH=cpu
COPY pyproject.toml requirements.lock README.md LICENSE /src/
COPY workflow/prunescope /src/workflow/prunescope
COPY workflow/snakemake_logger_plugin_prunescope /src/workflow/snakemake_logger_plugin_prunescope
RUN version=$(sed -n 's/^torch==//p' /src/requirements.lock) \
    && if [ "$TORCH" = cpu ]; \
       then set -- --extra-index-url https://download.pytorch.org/whl/cpu "torch==$version+cpu"; \
       else set -- "torch==$version"; fi \
    && pip install --no-cache-dir -c /src/requirements.lock "$@" '/src[recover,zeroshot]'

# Whoever runs it may write where libraries keep files.
ENV HOME=/tmp HF_HOME=/cache MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
CMD ["prunescope", "doctor"]
