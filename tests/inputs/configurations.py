"""`config.json` and what lies beside it: values that transformers takes, and those that it stumbles over."""

from inputs.case import Case
from inputs.editing import LFS, cut_short, deleted, made, moved, tied, told, written

CONFIG = r"config\.json"
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}
TEMPLATES = [
    {"name": "default", "template": "{{ messages[0]['content'] }}"},
    {"name": "tool_use", "template": "tools: {{ messages[0]['content'] }}"},
]

FILE = [
    Case("`config.json` is missing", (deleted("config.json"),), CONFIG),
    Case("`config.json` is empty", (written("config.json", ""),), CONFIG),
    Case("`config.json` is a list", (written("config.json", []),), CONFIG),
    Case("`config.json` is cut off", (cut_short("config.json", lambda data: data[:-20]),), CONFIG),
    Case("`config.json` is a Git LFS pointer", (written("config.json", LFS),), CONFIG),
    Case(
        "`config.json` begins with a byte-order mark",
        (cut_short("config.json", lambda data: b"\xef\xbb\xbf" + data),),
        CONFIG,
    ),
    Case("`config.json` is UTF-16", (cut_short("config.json", lambda data: data.decode().encode("utf-16")),), CONFIG),
    Case("`params.json` of the original weights alone", (moved("config.json", "params.json"),), CONFIG),
]

KIND = [
    Case("no `model_type`", (told(without=("model_type",)),), "model_type"),
    Case("an unknown `model_type`", (told(model_type="llama5"),), "llama5"),
    Case("a `model_type` that is a number", (told(model_type=3),), "model type"),
    Case(
        "a model with its own Python file (`auto_map`)",
        (
            told(model_type="mine", auto_map={"AutoConfig": "configuration_mine.MineConfig"}),
            written("configuration_mine.py", "raise SystemExit('ran')"),
        ),
        "auto_map|own|code|mine",
    ),
    Case(
        "a Llama with `auto_map` left in",
        (
            told(auto_map={"AutoModelForCausalLM": "modeling_mine.Mine"}),
            written("modeling_mine.py", "raise SystemExit('ran')"),
        ),
    ),
    Case("an encoder-decoder (T5)", (told(model_type="t5"),), "'t5' cannot be pruned"),
    Case("a mixture of experts (Mixtral)", (told(model_type="mixtral"),), "'mixtral' cannot be pruned"),
    Case("Gemma", (told(model_type="gemma2"),), "'gemma2' cannot be pruned"),
    Case("Phi", (told(model_type="phi3"),), "'phi3' cannot be pruned"),
    Case(
        "a vision model around a Llama",
        (
            told(
                model_type="llava",
                text_config={"model_type": "llama"},
                vision_config={"model_type": "clip_vision_model"},
            ),
        ),
        "'llava' cannot be pruned",
    ),
    Case("`architectures` of a classifier", (told(architectures=["LlamaForSequenceClassification"]),)),
    Case("`quantization_config` without a method", (told(quantization_config={"bits": 4}),), "quanti"),
    Case("`quantization_config` is `{}`", (told(quantization_config={}),), "quanti"),
    Case("`quantization_config` is null", (told(quantization_config=None),)),
    Case("`quantization_config` is text", (told(quantization_config="gptq"),), "quanti"),
    Case(
        "flash attention asked for in the configuration",
        (told(attn_implementation="flash_attention_2"),),
        "FlashAttention",
    ),
    Case("`return_dict` off, as `torchscript` leaves it", (told(return_dict=False),)),
    Case("hidden states asked for in the configuration", (told(output_hidden_states=True, output_attentions=True),)),
    Case("keys of a newer transformers", (told(transformers_version="9.0", new_setting={"a": 1}),)),
]

SIZES = [
    Case("`hidden_size` is missing", (told(without=("hidden_size",)),), "embed_tokens|hidden_size"),
    Case("`num_hidden_layers` is missing", (told(without=("num_hidden_layers",)),), "layers|num_hidden_layers"),
    Case("`vocab_size` is null", (told(vocab_size=None),), "vocab_size"),
    Case(
        "`num_key_value_heads` is null, as many as heads", (made(kv_heads=3, ratio=1), told(num_key_value_heads=None))
    ),
    Case(
        "`num_key_value_heads` is missing, as in old Llamas",
        (made(kv_heads=3, ratio=1), told(without=("num_key_value_heads",))),
    ),
    Case("`head_dim` is missing, and is hidden / heads", (made(head_dim=6), told(without=("head_dim",)))),
    Case("`head_dim` is missing, and is something else", (told(without=("head_dim",)),), "proj|head_dim"),
    Case("sizes as text", (told(hidden_size="24"),), "hidden_size"),
    Case("sizes as decimals", (told(hidden_size=24.0),), "hidden_size"),
    Case("zero heads", (told(num_attention_heads=0),), "num_attention_heads"),
    Case("zero key heads", (told(num_key_value_heads=0),), "num_key_value_heads"),
    Case("heads that key heads do not divide", (told(num_key_value_heads=3),), "num_key_value_heads|k_proj"),
    Case("zero layers", (told(num_hidden_layers=0),), "num_hidden_layers|layers"),
    Case("a negative size", (told(intermediate_size=-20),), "intermediate_size"),
    Case("a thousand million layers", (told(num_hidden_layers=10**9),), "num_hidden_layers"),
    Case("a hidden size of 10^12", (told(hidden_size=10**12),), "hidden_size|embed_tokens"),
    Case("a vocabulary of 10^30", (told(vocab_size=10**30),), "vocab_size"),
    Case("`max_position_embeddings` is missing", (told(without=("max_position_embeddings",)),)),
    Case("`max_position_embeddings` is null", (told(max_position_embeddings=None),), "max_position_embeddings"),
    Case("`max_position_embeddings` is text", (told(max_position_embeddings="64"),), "max_position_embeddings"),
    Case("`pad_token_id` beyond the vocabulary", (told(pad_token_id=61),), "pad_token_id"),
    Case("`pad_token_id` is -1", (told(pad_token_id=-1),)),
    Case("`tie_word_embeddings` as text", (tied(), told(tie_word_embeddings="true")), "tie_word_embeddings"),
]

VALUES = [
    Case("old `torch_dtype`", (told(without=("dtype",), torch_dtype="float32"),)),
    Case("an unknown dtype", (told(dtype="float17"),), "float17"),
    Case("a dtype that is a number", (told(dtype=32),), "dtype"),
    Case("dtype null", (told(dtype=None),)),
    Case("dtype `auto`", (told(dtype="auto"),), "dtype"),
    Case("an unknown rope type", (told(rope_parameters=LINEAR | {"rope_type": "spiral"}),), "spiral"),
    Case(
        "an unknown rope type, old spelling",
        (told(without=("rope_parameters",), rope_theta=500.0, rope_scaling={"type": "spiral", "factor": 2.0}),),
        "spiral",
    ),
    Case(
        "old `rope_scaling` with `type`",
        (told(without=("rope_parameters",), rope_theta=500.0, rope_scaling={"type": "linear", "factor": 4.0}),),
    ),
    Case(
        "`rope_scaling` without its factor",
        (told(without=("rope_parameters",), rope_theta=500.0, rope_scaling={"type": "linear"}),),
        "factor",
    ),
    Case("`rope_scaling` is text", (told(without=("rope_parameters",), rope_scaling="linear"),), "rope"),
    Case("`rope_theta` as text", (told(rope_parameters={"rope_type": "default", "rope_theta": "500"}),), "rope"),
    Case("an unknown activation", (told(hidden_act="swish2"),), "swish2"),
    Case("another activation that transformers knows", (told(hidden_act="gelu"),)),
    Case("`rms_norm_eps` as text", (told(rms_norm_eps="1e-6"),), "rms_norm_eps"),
    Case("`rms_norm_eps` is NaN", (told(rms_norm_eps=float("nan")),), "rms_norm_eps|layer 0", by="gradients"),
    Case(
        "`layer_types` for another number of layers",
        (made(family="qwen2"), told(layer_types=["full_attention"])),
        "layer_types",
    ),
    Case(
        "an unknown layer type",
        (made(family="qwen2"), told(layer_types=["linear_attention_2"] * 3)),
        "layer_types?|linear_attention_2",
    ),
    Case("`sliding_window` as text", (made(family="mistral"), told(sliding_window="5")), "sliding_window"),
    Case("`attention_dropout` as text", (told(attention_dropout="none"),), "attention_dropout"),
]

BESIDE = [
    Case("`generation_config.json` is damaged", (written("generation_config.json", "{"),), "generation_config"),
    Case("`generation_config.json` is a list", (written("generation_config.json", []),), "generation_config"),
    Case(
        "`generation_config.json` that contradicts itself",
        (written("generation_config.json", {"do_sample": False, "temperature": 0.9}),),
    ),
    Case(
        "several chat templates in `tokenizer_config.json`", (told("tokenizer_config.json", chat_template=TEMPLATES),)
    ),
    Case(
        "several chat templates in `additional_chat_templates/`",
        (
            written("chat_template.jinja", TEMPLATES[0]["template"]),
            written("additional_chat_templates/tool_use.jinja", TEMPLATES[1]["template"]),
        ),
    ),
    Case(
        "a chat template in `chat_template.json`", (written("chat_template.json", {"chat_template": "{{ messages }}"}),)
    ),
]

CASES = [*FILE, *KIND, *SIZES, *VALUES, *BESIDE]
