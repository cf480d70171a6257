# Generated from modeling_pruned_llama.py by generate.py: edit that file.
"""Mistral with layers of different widths: the architecture of a structurally pruned checkpoint.

Needs transformers alone. The configuration's `per_layer_config` names what differs in a layer:
`intermediate_size`, `num_attention_heads`, `num_key_value_heads`, and `skip` with ``"attention"`` or
``"mlp"`` for a block that is gone altogether, its norm included. Everything else is the stock Mistral.
"""

from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MistralModel,
)
from transformers.models.mistral.modeling_mistral import (
    MistralAttention,
    MistralDecoderLayer,
    MistralPreTrainedModel,
    MistralRMSNorm,
    MistralRotaryEmbedding,
)


class PrunedMistralConfig(MistralConfig):
    """`MistralConfig` plus `per_layer_config`."""

    model_type = "pruned_mistral"

    def validate_architecture(self) -> None:
        """Widths are per layer, so the stock check of the global ones does not apply."""


class PrunedMistralDecoderLayer(MistralDecoderLayer):
    """A decoder layer of its own widths, with either block possibly gone.

    Args:
        config: of the whole model. layer_idx: place of the layer.
        cache_idx: slot of the layer's attention in the key-value cache: the number of attention blocks
            before it, because transformers reads the sequence length from slot 0.
    """

    def __init__(self, config: PrunedMistralConfig, layer_idx: int, cache_idx: int) -> None:
        layer_config = config.per_layer_config[layer_idx]
        super().__init__(layer_config, layer_idx)
        skip = getattr(layer_config, "skip", ())
        if "attention" in skip:
            self.self_attn = self.input_layernorm = None
        else:
            self.self_attn.layer_idx = cache_idx
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


class PrunedMistralPreTrainedModel(MistralPreTrainedModel):
    config_class = PrunedMistralConfig
    config: PrunedMistralConfig
    _no_split_modules = ["PrunedMistralDecoderLayer"]
    _can_record_outputs = {"hidden_states": PrunedMistralDecoderLayer, "attentions": MistralAttention}


class PrunedMistralModel(PrunedMistralPreTrainedModel, MistralModel):
    """`MistralModel` built layer by layer."""

    def __init__(self, config: PrunedMistralConfig) -> None:
        PrunedMistralPreTrainedModel.__init__(self, config)
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        layers, attention_blocks = [], 0
        for index in range(config.num_hidden_layers):
            layers.append(PrunedMistralDecoderLayer(config, index, cache_idx=attention_blocks))
            attention_blocks += layers[-1].self_attn is not None
        self.layers = nn.ModuleList(layers)
        self.norm = MistralRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = MistralRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()


class PrunedMistralForCausalLM(PrunedMistralPreTrainedModel, MistralForCausalLM):
    """`MistralForCausalLM` over `PrunedMistralModel`."""

    def __init__(self, config: PrunedMistralConfig) -> None:
        PrunedMistralPreTrainedModel.__init__(self, config)
        self.model = PrunedMistralModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def _get_static_cache_init_shape(self) -> None:
        """Head counts differ between layers and cache slots are shifted: let the cache initialise lazily."""


AutoConfig.register("pruned_mistral", PrunedMistralConfig, exist_ok=True)
AutoModel.register(PrunedMistralConfig, PrunedMistralModel, exist_ok=True)
AutoModelForCausalLM.register(PrunedMistralConfig, PrunedMistralForCausalLM, exist_ok=True)
