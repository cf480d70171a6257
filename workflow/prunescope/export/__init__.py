"""Export: a pruned checkpoint in the formats of other programs, each file compared with the checkpoint first."""
