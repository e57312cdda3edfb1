"""What the program refuses of the zoo's networks, and in which words."""

COMPUTED = "3.weight is a computed tensor. Take torch.nn.utils.parametrizations.weight_norm"
PRUNED = "it is under torch.nn.utils.prune already"
UNCOPIED = {"weight_norm_old": COMPUTED, "torch_pruned": COMPUTED, "torch_pruned_called": COMPUTED,
            "torch_pruned_channels": "0.weight is a computed tensor"}  # fmt: skip
PRUNED_ALREADY = dict.fromkeys(("torch_pruned", "torch_pruned_called", "torch_pruned_channels"), PRUNED)
NO_WEIGHTS = dict.fromkeys(("weight_norm_everywhere", "functional", "scripted"), "has no weights to prune")
NO_SCORES = {"dict_output": "a dict", "tuple_output": "a tuple"}
UNTRACED = dict.fromkeys((
    "shuffled_groups", "non_local", "spatial_transformer", "coordinates", "shifted", "kernels_by_attention", "unpooled",
    "unpooled_elsewhere", "cells", "recurrent_by_hand", "vit_class_token", "transformer", "perceiver", "state_space",
    "complex_views", "two_paths", "data_parallel", "scripted",
), "cannot be traced")  # fmt: skip
NEGATIVE = dict.fromkeys(("complex_views", "random_features"), "values below zero enter the first layer, last.weight")
WITH_LABELS = NO_SCORES | {"tuple_in_training": "TupleInTraining returns a tuple in training mode"}
STATELESS = {"data_parallel": "DataParallel: .*; prune the module in it"}
TWICE = {
    **dict.fromkeys(("mobile_with_hardswish", "Hardsigmoid", "CrossMapLRN2d"), "second derivative that PyTorch lacks"),
    **dict.fromkeys(("standardized_batch", "statistics_pooling"), "the score of layer conv.weight is not finite"),
}
"""A standard deviation has no second derivative where it is zero."""

REFUSALS: dict[str, dict[str, str]] = {
    "train": UNCOPIED | NO_SCORES | {
        "double": "1.weight is torch.float64", "bfloat16": "1.weight is torch.bfloat16",
        "lazy": "layer '1' .LazyLinear", "tuple_in_training": "a tuple, not one tensor of scores",
    },
    "evaluate": NO_SCORES | {"double": "1.weight is torch.float64", "bfloat16": "1.weight is torch.bfloat16"},
    "prune": PRUNED_ALREADY | NO_WEIGHTS | {
        "lazy": "LazyLinear.* has no weights yet", "merged_lora": "The weights of layer 'middle' are not multiplied",
        "reparametrized": "The weights of layer 'wide' are not multiplied",
    },
    "mask": PRUNED_ALREADY,
    "count": {"lazy": "uninitialized parameter", "scripted": "not supported on ScriptModules"},
    "path": PRUNED_ALREADY | {"lazy": "a lazy layer has no weights yet"},
    "effective": {"checkpointed": "Checkpointed: no path", "scripted": "RecursiveScriptModule: no path"},
    "trace": UNTRACED,
    "compact": PRUNED_ALREADY | {
        "lazy": "a lazy layer has no weights yet", "shake": "cannot be traced",
        "random_in_training": "cannot be traced",
    },
    "synflow": NO_SCORES | NEGATIVE, "synflow_l2": NO_SCORES | NEGATIVE, "px": NO_SCORES,
    "adsynflow": NO_SCORES | NEGATIVE | {"normalizes_inside": "values below zero enter the first layer, net.1.weight"},
    **dict.fromkeys(("snip", "iterative_snip", "force"), WITH_LABELS),
    "ntk_sap": WITH_LABELS | STATELESS, "grasp": WITH_LABELS | TWICE,
    "prospr": WITH_LABELS | STATELESS | TWICE | {"embedding": "a second derivative that PyTorch lacks"},
}  # fmt: skip
"""By what is asked for and the network's name: a pattern of the refusal's text."""
