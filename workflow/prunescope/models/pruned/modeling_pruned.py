"""Decoders with layers of different widths: the architectures of structurally pruned checkpoints.

Needs transformers (4.57 or 5.x) alone. The configuration's `per_layer_config` names what differs in a layer:
`intermediate_size`, `num_attention_heads`, `num_key_value_heads`, and `skip` with ``"attention"`` or
``"mlp"`` for a block that is gone altogether, its norm included. Everything else is the stock model.
"""

import copy

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.llama import modeling_llama as llama
from transformers.models.mistral import modeling_mistral as mistral
from transformers.models.qwen2 import modeling_qwen2 as qwen2
from transformers.models.qwen3 import modeling_qwen3 as qwen3

# --- what is the same in all families, to come before the stock class -----------------------------------


class PrunedConfig:
    """A configuration with `per_layer_config`."""

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs) -> "PrunedConfig":
        """Add what transformers 4 reads."""
        return super().from_dict(config_dict | rope_of_version_4(config_dict["rope_parameters"]), **kwargs)

    def validate(self) -> None:
        """The stock checks before saving read the widths of the whole model, which has none."""


def rope_of_version_4(parameters: dict) -> dict:
    """Return what transformers 4 reads in place of `rope_parameters`; version 5 takes either."""
    scaling = dict(parameters)
    theta = scaling.pop("rope_theta")
    return {"rope_theta": theta, "rope_scaling": None if scaling["rope_type"] == "default" else scaling}


def layer_config(config: PretrainedConfig, index: int) -> PretrainedConfig:
    """Return the configuration of one layer: the model's, with the widths of the layer."""
    layers = config.per_layer_config
    if not isinstance(layers, dict):
        return layers[index]
    # Versions of transformers that do not know `per_layer_config` keep it as it is written.
    layer = copy.copy(config)
    vars(layer).update({int(key): widths for key, widths in layers.items()}.get(index, {}))
    return layer


class PrunedDecoderLayer:
    """A decoder layer of its own widths, with either block possibly gone."""

    def __init__(self, config: PretrainedConfig, layer_idx: int) -> None:
        own = layer_config(config, layer_idx)
        super().__init__(own, layer_idx)
        skip = getattr(own, "skip", ())
        if "attention" in skip:
            self.self_attn = self.input_layernorm = None
        else:
            self.self_attn.config = config  # follows set_attn_implementation; its widths are in the weights
        if "mlp" in skip:
            self.mlp = self.post_attention_layernorm = None

    def forward(self, hidden_states: Tensor, **kwargs) -> Tensor:
        if self.self_attn is not None:
            attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
            hidden_states = hidden_states + attended
        if self.mlp is not None:
            hidden_states = hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))
        return hidden_states


class PrunedModel:
    """A backbone built layer by layer of `parts`: the classes of layer, norm and rotary embedding."""

    def __init__(self, config: PretrainedConfig) -> None:
        PreTrainedModel.__init__(self, config)
        layer, norm, rotary = self.parts
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        self.layers = nn.ModuleList(layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = norm(config.hidden_size, eps=config.rms_norm_eps)
        # Some kinds read the number of heads, which only a layer has, though they turn heads of `head_dim`.
        self.rotary_emb = rotary(config=layer_config(config, 0))
        self.gradient_checkpointing = False
        self._assign_cache_slots()
        self.post_init()

    def _assign_cache_slots(self) -> None:
        """Give the n-th attention of each type (full or sliding) the n-th slot of that type in the key-value cache.

        The cache has one slot per layer, of the layer's type, and transformers reads the sequence length from the
        first slot of a type: a layer without attention must not own it. vLLM keeps a cache of its own, by layer.
        """
        types = getattr(self.config, "layer_types", None) or ["full_attention"] * len(self.layers)
        self.has_sliding_layers = "sliding_attention" in types
        if self.config._attn_implementation == "vllm":
            return
        slots = {kind: [slot for slot, other in enumerate(types) if other == kind] for kind in types}
        for layer, kind in zip(self.layers, types, strict=True):
            if layer.self_attn is not None:
                layer.self_attn.layer_idx = slots[kind].pop(0)


class PrunedForCausalLM:
    """A head over a `backbone`."""

    def __init__(self, config: PretrainedConfig) -> None:
        PreTrainedModel.__init__(self, config)
        self.model = self.backbone(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def _get_static_cache_init_shape(self) -> None:
        """Head counts differ between layers and cache slots are shifted: let the cache initialise lazily."""


# --- the families ---------------------------------------------------------------------------------------


class PrunedLlamaConfig(PrunedConfig, llama.LlamaConfig):
    model_type = "pruned_llama"


class PrunedLlamaDecoderLayer(PrunedDecoderLayer, llama.LlamaDecoderLayer):
    pass


class PrunedLlamaPreTrainedModel(llama.LlamaPreTrainedModel):
    config_class = PrunedLlamaConfig
    config: PrunedLlamaConfig
    _no_split_modules = ["PrunedLlamaDecoderLayer"]
    _can_record_outputs = {"hidden_states": PrunedLlamaDecoderLayer, "attentions": llama.LlamaAttention}


class PrunedLlamaModel(PrunedModel, PrunedLlamaPreTrainedModel, llama.LlamaModel):
    parts = PrunedLlamaDecoderLayer, llama.LlamaRMSNorm, llama.LlamaRotaryEmbedding


class PrunedLlamaForCausalLM(PrunedForCausalLM, PrunedLlamaPreTrainedModel, llama.LlamaForCausalLM):
    backbone = PrunedLlamaModel


class PrunedMistralConfig(PrunedConfig, mistral.MistralConfig):
    model_type = "pruned_mistral"


class PrunedMistralDecoderLayer(PrunedDecoderLayer, mistral.MistralDecoderLayer):
    pass


class PrunedMistralPreTrainedModel(mistral.MistralPreTrainedModel):
    config_class = PrunedMistralConfig
    config: PrunedMistralConfig
    _no_split_modules = ["PrunedMistralDecoderLayer"]
    _can_record_outputs = {"hidden_states": PrunedMistralDecoderLayer, "attentions": mistral.MistralAttention}


class PrunedMistralModel(PrunedModel, PrunedMistralPreTrainedModel, mistral.MistralModel):
    parts = PrunedMistralDecoderLayer, mistral.MistralRMSNorm, mistral.MistralRotaryEmbedding


class PrunedMistralForCausalLM(PrunedForCausalLM, PrunedMistralPreTrainedModel, mistral.MistralForCausalLM):
    backbone = PrunedMistralModel


class PrunedQwen2Config(PrunedConfig, qwen2.Qwen2Config):
    model_type = "pruned_qwen2"


class PrunedQwen2DecoderLayer(PrunedDecoderLayer, qwen2.Qwen2DecoderLayer):
    pass


class PrunedQwen2PreTrainedModel(qwen2.Qwen2PreTrainedModel):
    config_class = PrunedQwen2Config
    config: PrunedQwen2Config
    _no_split_modules = ["PrunedQwen2DecoderLayer"]
    _can_record_outputs = {"hidden_states": PrunedQwen2DecoderLayer, "attentions": qwen2.Qwen2Attention}


class PrunedQwen2Model(PrunedModel, PrunedQwen2PreTrainedModel, qwen2.Qwen2Model):
    parts = PrunedQwen2DecoderLayer, qwen2.Qwen2RMSNorm, qwen2.Qwen2RotaryEmbedding


class PrunedQwen2ForCausalLM(PrunedForCausalLM, PrunedQwen2PreTrainedModel, qwen2.Qwen2ForCausalLM):
    backbone = PrunedQwen2Model


class PrunedQwen3Config(PrunedConfig, qwen3.Qwen3Config):
    model_type = "pruned_qwen3"


class PrunedQwen3DecoderLayer(PrunedDecoderLayer, qwen3.Qwen3DecoderLayer):
    pass


class PrunedQwen3PreTrainedModel(qwen3.Qwen3PreTrainedModel):
    config_class = PrunedQwen3Config
    config: PrunedQwen3Config
    _no_split_modules = ["PrunedQwen3DecoderLayer"]
    _can_record_outputs = {"hidden_states": PrunedQwen3DecoderLayer, "attentions": qwen3.Qwen3Attention}


class PrunedQwen3Model(PrunedModel, PrunedQwen3PreTrainedModel, qwen3.Qwen3Model):
    parts = PrunedQwen3DecoderLayer, qwen3.Qwen3RMSNorm, qwen3.Qwen3RotaryEmbedding


class PrunedQwen3ForCausalLM(PrunedForCausalLM, PrunedQwen3PreTrainedModel, qwen3.Qwen3ForCausalLM):
    backbone = PrunedQwen3Model
