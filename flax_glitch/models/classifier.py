"""The classifier of glitches: an architecture and its head, what is trained, and how it is used."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from flax_glitch.arrays import Embeddings, Features, Key, Logits, Mask, RawViews, Seen, Views
from flax_glitch.classes import CLASSES
from flax_glitch.config import ModelConfig, Preprocessing
from flax_glitch.models.layers import Maker
from flax_glitch.models.preprocess import standardise
from flax_glitch.models.systems import MODELS, Backbone, Halved, Head, known

DEFAULT = Preprocessing()

Forward = Callable[[Sequence[nnx.State], Seen, Mask], jax.Array]
"""States that make up a model, raw pictures or their kept maps and which there are, to logits."""

Trunk = Callable[[Sequence[nnx.State], RawViews], jax.Array]
"""States that make up a model and raw pictures to the maps of its frozen layers."""

KEPT = jnp.float16
"""The type of kept maps: of half the size of float32, and as exact as bfloat16 or better."""


class Classifier(nnx.Module):
    """Views of glitches to scores over the classes.

    Args:
        name: of the model, which tells whether the four windows of a glitch are one picture to the
            backbone, and which layers are trained on top of given weights.
        backbone: what makes feature maps of pictures.
        head: what makes scores of feature maps.
    """

    def __init__(self, name: str, backbone: Backbone, head: Head) -> None:
        self.name, self.backbone, self.head = name, backbone, head

    @property
    def last_layer(self) -> str:
        """How the dotted names of the arrays begin that hang on the classes."""
        return f"head.{self.head.last}."

    def __call__(self, views: Views, mask: Mask, key: Key | None = None) -> Logits:
        """Returns the scores of each view, or of each glitch as its only view if merged.

        Args:
            views: standardised pictures.
            mask: which of them there are.
            key: random key of the dropout; needed in training mode only.
        """
        below, above = (None, None) if key is None else jax.random.split(key)
        return self.classify(self.embed(self.features(views, mask, below), above))

    def features(self, views: Views, mask: Mask, key: Key | None = None) -> Features:
        """Returns the feature maps of each view."""
        views = jnp.asarray(views)
        if MODELS[self.name].merged:  # a missing window is as even as one without any signal
            views = side_by_side(views * jnp.asarray(mask)[..., None, None, None])
        return _of_each(partial(self.backbone, key=key), views)

    def trunk(self, views: Views) -> Features:
        """Returns what the layers that may be frozen make of each view.

        Raises:
            TypeError: if the model has no such layers.
        """
        return _of_each(self._halves.trunk, jnp.asarray(views))

    def of_maps(self, maps: Features, key: Key | None = None) -> Logits:
        """Returns what a call would of the views that `trunk` made the maps of."""
        above = None if key is None else jax.random.split(key)[1]
        features = _of_each(self._halves.top, jnp.asarray(maps))
        return self.classify(self.embed(features, above))

    @property
    def _halves(self) -> Halved:
        if not isinstance(self.backbone, Halved):
            raise TypeError(f"{self.name}: none of its layers are ever frozen")
        return self.backbone

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view."""
        return self.head.embed(features, key)

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.head.classify(embeddings)


def build(
    model: ModelConfig,
    preprocessing: Preprocessing = DEFAULT,
    classes: int = len(CLASSES),
    *,
    dtype: DTypeLike | None = None,
    rngs: nnx.Rngs,
) -> Classifier:
    """Returns the classifier that the settings describe, with random weights.

    Args:
        model: its settings; `weights` is left to `pretrained.load_weights`.
        preprocessing: what pictures it will see.
        classes: how many it tells apart.
        dtype: type to compute in, in place of the settings' precision.
        rngs: source of the random weights.

    Raises:
        ValueError: if there is no such model.
    """
    described = known(model.name)
    make = Maker(
        rngs,
        channels=1 if preprocessing.colour == "grayscale" else 3,
        dtype=compute_dtype(model.precision) if dtype is None else dtype,
        momentum=model.batch_norm_momentum,
        dropped=model.dropout,
    )
    backbone = described.backbone(make)
    height, width = (
        side * (2 if described.merged else 1) // backbone.reduction for side in preprocessing.shape
    )
    head = described.head((height, width, backbone.features), classes, make)
    return Classifier(model.name, backbone, head)


def parameters(
    model: ModelConfig, preprocessing: Preprocessing = DEFAULT, classes: int = len(CLASSES)
) -> int:
    """Returns how many numbers a network holds, batch statistics included, as Keras counts."""
    shapes = nnx.eval_shape(lambda: build(model, preprocessing, classes, rngs=nnx.Rngs(0)))
    state = nnx.state(shapes, nnx.Any(nnx.Param, nnx.BatchStat))
    return sum(leaf.size for leaf in jax.tree.leaves(state))


def side_by_side(views: Float[Array, "b 4 h w c"]) -> Float[Array, "b 1 2*h 2*w c"]:
    """Returns the four windows of each glitch as one picture: 0.5 and 1 s above 2 and 4 s."""
    upper, lower = (jnp.concatenate([views[:, n], views[:, n + 1]], axis=2) for n in (0, 2))
    return jnp.concatenate([upper, lower], axis=1)[:, None]


def compute_dtype(precision: Literal["auto", "float32", "bfloat16"]) -> DTypeLike:
    """Returns the type to compute in: what is asked, or what suits JAX's default device."""
    if precision == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    return jnp.dtype(precision)


def make_forward(graphdef: nnx.GraphDef, preprocessing: Preprocessing) -> Forward:
    """Returns the jitted function (states, views or maps, mask) to logits, in inference mode.

    Args:
        graphdef: structure of a classifier, in whatever mode.
        preprocessing: how raw pictures become its input.
    """

    @jax.jit
    def forward(states: Sequence[nnx.State], seen: Seen, mask: Mask) -> jax.Array:
        model = inference_mode(nnx.merge(graphdef, *states, copy=True))
        if are_maps(seen):
            return jnp.asarray(model.of_maps(seen))
        return jnp.asarray(model(standardise(seen, preprocessing), mask))

    return forward


def make_trunk(graphdef: nnx.GraphDef, preprocessing: Preprocessing) -> Trunk:
    """Returns the jitted function (states, views) to the maps of the frozen layers, to be kept.

    Args:
        graphdef: structure of a classifier that has such layers, in whatever mode.
        preprocessing: how raw pictures become its input.
    """
    most = float(jnp.finfo(KEPT).max)

    @jax.jit
    def trunk(states: Sequence[nnx.State], views: RawViews) -> jax.Array:
        model = inference_mode(nnx.merge(graphdef, *states, copy=True))
        maps = model.trunk(standardise(views, preprocessing))
        return jnp.clip(maps, -most, most).astype(KEPT)

    return trunk


def are_maps(seen: Seen) -> bool:
    """Returns whether these are kept maps; pictures are bytes."""
    return bool(seen.dtype == KEPT)


def fuse(logits: Logits, mask: Mask) -> Float[Array, "batch class"]:
    """Returns each glitch's scores: the mean over its views, so that of log-probabilities too.

    Args:
        logits: scores of each view, or of all in one row.
        mask: which views there are; a glitch without any gets equal scores.
    """
    if logits.shape[1] == 1:
        return jnp.asarray(logits)[:, 0]
    each = jnp.where(mask[..., None], logits, 0.0)
    return jnp.sum(each, axis=1) / jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)


def training_mode(model: Classifier, *, train_all: bool) -> Classifier:
    """Returns the same arrays in a model that drops units and learns statistics where trained.

    Args:
        model: the classifier.
        train_all: False freezes the early layers, whose statistics then stay as they are.
    """
    view = _in_mode(model, use_running_average=True, deterministic=False)
    return _in_mode(view, only=_trained(model, train_all), use_running_average=False)


def inference_mode(model: Classifier) -> Classifier:
    """Returns the same arrays in a model that uses its statistics and drops nothing."""
    return _in_mode(model, use_running_average=True, deterministic=True)


def _in_mode(model: Classifier, **modes: Any) -> Classifier:
    # Some networks have no batch normalisation to be told; a forgotten mode raises when called.
    return nnx.view(model, raise_if_not_found=False, **modes)


def split(
    model: Classifier, *, train_all: bool
) -> tuple[nnx.GraphDef[Classifier], nnx.State, nnx.State, nnx.State]:
    """Returns the graph, the trained parameters, the frozen ones, and the batch statistics.

    Args:
        model: the classifier, in the mode that the graph shall have.
        train_all: False freezes the early layers.
    """
    trained = nnx.All(nnx.Param, _trained(model, train_all))
    graph, *states = nnx.split(model, trained, nnx.Param, ...)
    trainable, frozen, statistics = states
    return graph, trainable, frozen, statistics


def _of_each(
    layers: Callable[[jax.Array], jax.Array], views: Float[Array, "batch view ..."]
) -> Features:
    batch, view, *rest = views.shape
    maps = layers(views.reshape(batch * view, *rest))
    return maps.reshape(batch, view, *maps.shape[1:])


def _trained(model: Classifier, train_all: bool) -> Callable[[tuple[Any, ...], Any], bool]:
    beginning = f"backbone/{MODELS[model.name].trained}"

    def is_trained(path: tuple[Any, ...], _: Any) -> bool:
        place = "/".join(map(str, path))
        in_head = not place.startswith("backbone")
        return train_all or in_head or place.startswith(beginning)

    return is_trained
