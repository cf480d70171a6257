"""The columns of the tables."""

from prunescope.artifacts.formats import Column
from prunescope.artifacts.summary import LayerRates

IMPORTANCE = (
    Column("layer", "int32"),
    Column(
        "block",
        "category",
        "`attention` (a group is a GQA group: a key-value head and its query heads) or `mlp` (a group is a channel)",
    ),
    Column("group", "int32", "index in its block"),
    Column("saliency", "float64", "as measured, summed over the weights of the group; the unit is the criterion's"),
    Column("cost", "int64", "parameters of the group"),
    Column("prior", "float64", "of its block, as measured, may be negative; NaN where the method needs none"),
    Column("score", "float64", "what is ranked, after all corrections; the lowest go first"),
    Column("rank", "int32", "0: lowest score"),
    Column("removed", "bool"),
)

RATES = tuple(
    Column(name, "int64" if field.annotation is int else "float64", (field.description or "").rstrip("."))
    for name, field in LayerRates.model_fields.items()
)

SEARCH = (
    Column("trial", "int64"),
    Column("start", "bool", "whether the search began with it"),
    Column("{setting}", "", "a column per setting that was searched, by its path; empty: off"),
    Column("plan", "text", "digest of what is cut; empty where nothing could be selected"),
    Column(
        "kl_{windows}", "float64", "mean KL(dense || pruned) of all texts on so many windows of each; NaN: not tried"
    ),
    Column("reason", "text", "why it could not be measured; else empty"),
)

WINDOW = (
    Column("dataset", "text"),
    Column("protocol", "text"),
    Column("window", "int64", "index in the text"),
    Column("tokens", "int64", "tokens scored"),
)
LOSSES = (*WINDOW, Column("loss", "float64", "summed token loss, in nats"))
BEFORE_AND_AFTER = (
    *WINDOW,
    Column("baseline", "float64", "summed token loss of the unpruned model, in nats"),
    Column("pruned", "float64", "of the pruned model"),
)
RECOVERED = (*BEFORE_AND_AFTER, Column("recovered", "float64", "of the trained model"))

COMPARISON = (
    Column("experiment", "text", "`(unpruned)`: the unpruned model"),
    Column("{setting}", "text", "a column per setting that differs, by its path"),
    Column("removed of all", "number", "fraction of all parameters"),
    Column("removed of decoder", "number", "fraction of those in the decoder layers"),
    Column("remaining parameters", "number"),
    Column("attention rate", "number", "over all layers"),
    Column("MLP rate", "number", "over all layers"),
    Column("highest layer rate", "number"),
    Column("rate spread", "number", "highest minus lowest rate of a layer"),
    Column("extreme layers", "number", "how many"),
    Column("extreme layer indices", "text"),
    Column("critical findings", "number"),
    Column("high findings", "number"),
    Column("info findings", "number"),
    Column("checkpoint bytes", "number"),
    Column("perplexity {text} {protocol}", "number"),
    Column("perplexity {text} {protocol} low", "number", "of its interval; `high` likewise"),
    Column("perplexity {text} {protocol} high", "number"),
    Column("zeroshot {task}.{metric}.{value}", "number", "where it was measured"),
    Column("efficiency {name}", "number", "where it was measured, by dotted path"),
    Column("trained perplexity {text} {protocol}", "number", "of the model that recovery trained"),
    Column("trained zeroshot {task}.{metric}.{value}", "number", "of the trained model"),
    Column("trained efficiency {name}", "number", "of the trained model"),
)
