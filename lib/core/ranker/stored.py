"""What was trained as JSON and back, so that it can be stored."""

from typing import Any

import numpy as np

from lib.core.ranker.features import feature_names
from lib.core.ranker.profiles import ATTRIBUTE_NAMES
from lib.core.ranker.softmax_ranker import Model
from lib.core.ranker.trained import INTERACTING, Trained


def trained_as_json(trained: Trained) -> dict[str, Any]:
    """Numbers, strings, lists and None alone; floats come back to the last bit."""
    return {
        "position": trained.position,
        "gain": None if np.isnan(trained.gain) else trained.gain,  # JSON knows no NaN
        "slices": trained.slices,
        "users": trained.users,
        "window_seconds": trained.window_seconds,
        "model": None if trained.model is None else _model_as_json(trained.model),
    }


def trained_from_json(document: dict[str, Any]) -> Trained | None:
    """None where its ranker knows other features than ours: MODEL_FORMAT should have been raised."""
    model = document["model"]
    if model is not None and model["names"] != _names(len(model["mean"])):
        return None
    return Trained(
        position=float(document["position"]),
        model=None if model is None else _model_from_json(model),
        gain=float("nan") if document["gain"] is None else float(document["gain"]),
        slices=int(document["slices"]),
        users=int(document["users"]),
        window_seconds=float(document["window_seconds"]),
    )


def _names(n_features: int) -> list[str]:
    """Of all columns of a ranker with that many features, by which another release's is known."""
    n_vectors = max(n_features - len(feature_names(0)), 0)
    return [*feature_names(n_vectors), *(f"{a}*{name}" for a in ATTRIBUTE_NAMES for name in INTERACTING)]


def _model_as_json(model: Model) -> dict[str, Any]:
    return {
        "names": _names(len(model.mean)),
        "mean": model.mean.tolist(),
        "scale": model.scale.tolist(),
        "attribute_mean": model.attribute_mean.tolist(),
        "attribute_scale": model.attribute_scale.tolist(),
        "interacting": model.interacting.tolist(),
        "weights": model.weights.tolist(),
    }


def _model_from_json(document: dict[str, Any]) -> Model:
    return Model(
        mean=np.array(document["mean"], np.float32),
        scale=np.array(document["scale"], np.float32),
        attribute_mean=np.array(document["attribute_mean"], np.float32),
        attribute_scale=np.array(document["attribute_scale"], np.float32),
        interacting=np.array(document["interacting"], np.intp),
        weights=np.array(document["weights"], np.float64),
    )
