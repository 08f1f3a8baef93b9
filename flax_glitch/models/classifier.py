"""The classifier of glitches: an architecture, the head on top of it, and which part is trained.

A training step is a pure function of arrays and a key::

    graph, *state = split(training_mode(model, train_all=False), train_all=False)

    @jax.jit
    def step(trainable, frozen, statistics, views, key):
        model = nnx.merge(graph, trainable, frozen, statistics, copy=True)
        logits = model(views, key)
        return logits, nnx.state(model, nnx.BatchStat)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from flax_glitch.arrays import Embeddings, Features, Key, Logits, Mask, RawViews, Views
from flax_glitch.config import ModelConfig, Preprocessing
from flax_glitch.models.cnn import STACKS, Convolutions, side_by_side
from flax_glitch.models.compact import Compact
from flax_glitch.models.heads import FlatHead, PooledHead, SummaryHead
from flax_glitch.models.preprocess import standardise
from flax_glitch.models.resnet import ResNet50
from flax_glitch.models.vgg import VGG16
from flax_glitch.models.xception import Xception

PRETRAINED: Mapping[str, type[ResNet50] | type[VGG16] | type[Xception]] = MappingProxyType(
    {"resnet50": ResNet50, "vgg16": VGG16, "xception": Xception}
)
"""The architectures that ImageNet weights exist for, by name; `cnn.STACKS` has the others."""

DEFAULT = Preprocessing()

Forward = Callable[[Sequence[nnx.State], RawViews, Mask], jax.Array]
"""States that make up a model, raw pictures and which there are, to logits."""


@runtime_checkable
class Backbone(Protocol):
    """What an architecture with ImageNet weights is to the classifier: pictures to maps."""

    name: ClassVar[str]
    features: ClassVar[int]
    fine_tuned: ClassVar[str]

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j c"]:
        """Returns the feature maps of pictures."""
        ...

    @staticmethod
    def layer_name(path: tuple[str, ...]) -> str:
        """Returns Keras' name of the layer at a place."""
        ...


class Classifier(nnx.Module):
    """Views of glitches to scores over the 22 classes.

    Args:
        backbone: what makes feature maps of pictures.
        head: what makes scores of feature maps.
        merged: whether the four windows of a glitch are one picture to the backbone; else each view
            is seen by itself.
    """

    def __init__(
        self,
        backbone: Backbone | Convolutions | Compact,
        head: PooledHead | FlatHead | SummaryHead,
        *,
        merged: bool = False,
    ) -> None:
        self.backbone, self.head, self.merged = backbone, head, merged

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
        if self.merged:  # a missing window is as even as one without any signal
            views = side_by_side(views * jnp.asarray(mask)[..., None, None, None])
        batch, view, *picture = views.shape
        maps = self.backbone(views.reshape(batch * view, *picture), key)
        return maps.reshape(batch, view, *maps.shape[1:])

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view."""
        return self.head.embed(features, key)

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.head.classify(embeddings)


def build(
    model: ModelConfig,
    preprocessing: Preprocessing = DEFAULT,
    classes: int = 22,
    *,
    dtype: DTypeLike | None = None,
    rngs: nnx.Rngs,
) -> Classifier:
    """Returns the classifier that the settings describe, with random weights.

    Args:
        model: its settings; `weights` is left to `pretrained.load_weights`.
        preprocessing: what pictures it will see.
        dtype: type to compute in, in place of the settings' precision.
        rngs: source of the random weights.
    """
    kinds = {"compact": _compact} | dict.fromkeys(PRETRAINED, _pretrained)
    make = kinds.get(model.name, _custom)
    dtype = compute_dtype(model.precision) if dtype is None else dtype
    return make(model, preprocessing, classes, dtype, rngs)


def _pretrained(
    model: ModelConfig, _: Preprocessing, classes: int, dtype: DTypeLike, rngs: nnx.Rngs
) -> Classifier:
    momentum = model.batch_norm_momentum
    backbone = PRETRAINED[model.name](dtype=dtype, momentum=momentum, rngs=rngs)
    head = PooledHead(
        backbone.features, classes, dropout=model.dropout, momentum=momentum, rngs=rngs
    )
    return Classifier(backbone, head)


def _compact(
    model: ModelConfig, preprocessing: Preprocessing, classes: int, dtype: DTypeLike, rngs: nnx.Rngs
) -> Classifier:
    backbone = Compact(
        _channels(preprocessing), dtype=dtype, momentum=model.batch_norm_momentum, rngs=rngs
    )
    return Classifier(
        backbone, SummaryHead(backbone.features, classes, dropout=model.dropout, rngs=rngs)
    )


def _custom(
    model: ModelConfig, preprocessing: Preprocessing, classes: int, dtype: DTypeLike, rngs: nnx.Rngs
) -> Classifier:
    stack, channels = STACKS[model.name], _channels(preprocessing)
    backbone = Convolutions(
        stack,
        channels,
        dropout=model.dropout,
        dtype=dtype,
        momentum=model.batch_norm_momentum,
        rngs=rngs,
    )
    sides = ((1 + stack.merged) * side // 2 ** len(stack.blocks) for side in preprocessing.shape)
    depth = stack.blocks[-1][0] if stack.blocks else channels
    head = FlatHead(
        math.prod(sides) * depth, stack.dense, classes, dropout=model.dropout, rngs=rngs
    )
    return Classifier(backbone, head, merged=stack.merged)


def _channels(preprocessing: Preprocessing) -> int:
    return 1 if preprocessing.colour == "grayscale" else 3


def parameters(
    model: ModelConfig, preprocessing: Preprocessing = DEFAULT, classes: int = 22
) -> int:
    """Returns how many numbers a network holds, batch statistics included, as Keras counts."""
    shapes = nnx.eval_shape(lambda: build(model, preprocessing, classes, rngs=nnx.Rngs(0)))
    state = nnx.state(shapes, nnx.Any(nnx.Param, nnx.BatchStat))
    return sum(leaf.size for leaf in jax.tree.leaves(state))


def is_merged(name: str) -> bool:
    """Returns whether a model looks at all windows of a glitch as one picture."""
    return name in STACKS and STACKS[name].merged


def is_fused(name: str) -> bool:
    """Returns whether a model is trained on what it says of all windows of a glitch together."""
    return name == "compact" or is_merged(name)


def compute_dtype(precision: Literal["auto", "float32", "bfloat16"]) -> DTypeLike:
    """Returns the type to compute in: what is asked, or what suits JAX's default device."""
    if precision == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    return jnp.dtype(precision)


def is_last_layer(name: str) -> bool:
    """Returns whether an array, by its dotted name, hangs on the number of classes."""
    return name.startswith(("head.dense3.", "head.output."))


def make_forward(graphdef: nnx.GraphDef, preprocessing: Preprocessing) -> Forward:
    """Returns the jitted function (states, views, mask) to logits, in inference mode.

    Args:
        graphdef: structure of a classifier, in whatever mode.
        preprocessing: how raw pictures become its input.
    """

    @jax.jit
    def forward(states: Sequence[nnx.State], views: RawViews, mask: Mask) -> jax.Array:
        model = inference_mode(nnx.merge(graphdef, *states, copy=True))
        return jnp.asarray(model(standardise(views, preprocessing), mask))

    return forward


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


def _trained(model: Classifier, train_all: bool) -> Callable[[tuple[Any, ...], Any], bool]:
    fine_tuned = model.backbone.fine_tuned

    def is_trained(path: tuple[Any, ...], _: Any) -> bool:
        place = "/".join(map(str, path))
        in_head = not place.startswith("backbone")
        return train_all or in_head or place.startswith(f"backbone/{fine_tuned}")

    return is_trained
