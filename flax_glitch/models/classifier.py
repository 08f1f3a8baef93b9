"""The classifier of glitches: an architecture, the head on top of it, and which part is trained.

A training step is a pure function of arrays and a key::

    graph, *state = split(training_mode(model, train_all=False), train_all=False)

    @jax.jit
    def step(trainable, frozen, statistics, views, key):
        model = nnx.merge(graph, trainable, frozen, statistics, copy=True)
        logits = model(views, key)
        return logits, nnx.state(model, nnx.BatchStat)
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from flax_glitch.arrays import AnyArray, Embeddings, Features, Key, Logits, Mask, Views
from flax_glitch.classes import CLASSES
from flax_glitch.config import ModelConfig
from flax_glitch.models.layers import batch_norm, dense
from flax_glitch.models.resnet import ResNet50

MODELS = MappingProxyType({"resnet50": ResNet50})
"""The architectures by name."""

EPSILON = 1e-3
"""Added to the variances in the head; Keras' own number for batch normalisation."""


@runtime_checkable
class Backbone(Protocol):
    """What an architecture is to the classifier: pictures to feature maps."""

    name: ClassVar[str]
    features: ClassVar[int]
    fine_tuned: ClassVar[str]

    def __call__(self, pictures: Float[Array, "n h w 3"]) -> Float[Array, "n i j c"]:
        """Returns the feature maps of pictures."""
        ...

    @staticmethod
    def layer_name(path: tuple[str, ...]) -> str:
        """Returns Keras' name of the layer at a place."""
        ...


class Classifier(nnx.Module):
    """Views of glitches to scores over the 22 classes, each view by itself.

    The head is that of the report: global max pooling, then dense layers of 256, 128 and 22 units,
    each after a batch normalisation. It computes in float32 whatever the backbone computes in.

    Args:
        backbone: what makes feature maps of pictures.
        dropout: share of units dropped in training.
        momentum: how slowly the head's batch statistics are averaged.
        rngs: source of the random kernels.
    """

    def __init__(
        self, backbone: Backbone, *, dropout: float = 0.5, momentum: float = 0.99, rngs: nnx.Rngs
    ) -> None:
        norm = {"momentum": momentum, "epsilon": EPSILON}
        self.backbone = backbone
        self.norm1 = batch_norm(backbone.features, **norm, rngs=rngs)
        self.dense1 = dense(backbone.features, 256, rngs=rngs)
        self.norm2 = batch_norm(256, **norm, rngs=rngs)
        self.dense2 = dense(256, 128, rngs=rngs)
        self.norm3 = batch_norm(128, **norm, rngs=rngs)
        self.dense3 = dense(128, len(CLASSES), rngs=rngs)
        self.dropout = nnx.Dropout(dropout, deterministic=None)

    def __call__(self, views: Views, key: Key | None = None) -> Logits:
        """Returns the scores of each view.

        Args:
            views: standardised pictures.
            key: random key of the dropout; needed in training mode only.
        """
        return self.classify(self.embed(self.features(views), key))

    def features(self, views: Views) -> Features:
        """Returns the feature maps of each view."""
        batch, view, *picture = views.shape
        maps = self.backbone(jnp.asarray(views).reshape(batch * view, *picture))
        return maps.reshape(batch, view, *maps.shape[1:])

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view.

        Args:
            features: what `features` returned.
            key: random key of the dropout; needed in training mode only.
        """
        first, second = (None, None) if key is None else jax.random.split(key)
        x = jnp.max(features, axis=(2, 3)).astype(jnp.float32)
        x = nnx.relu(self.dense1(self.norm1(x)))
        x = self.norm2(self.dropout(x, rngs=first))
        x = nnx.relu(self.dense2(x))
        return self.norm3(self.dropout(x, rngs=second))

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.dense3(jnp.asarray(embeddings))


def build(model: ModelConfig, *, dtype: DTypeLike | None = None, rngs: nnx.Rngs) -> Classifier:
    """Returns the classifier that the settings describe, with random weights.

    Args:
        model: its settings; `weights` is left to `pretrained.load_weights`.
        dtype: type to compute in, in place of the settings' precision.
        rngs: source of the random weights.
    """
    momentum = model.batch_norm_momentum
    dtype = compute_dtype(model.precision) if dtype is None else dtype
    backbone = MODELS[model.name](dtype=dtype, momentum=momentum, rngs=rngs)
    return Classifier(backbone, dropout=model.dropout, momentum=momentum, rngs=rngs)


def compute_dtype(precision: Literal["auto", "float32", "bfloat16"]) -> DTypeLike:
    """Returns the type to compute in: what is asked, or what suits JAX's default device."""
    if precision == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    return jnp.dtype(precision)


def fuse(logits: Float[AnyArray, "batch view 22"], mask: Mask) -> Float[Array, "batch 22"]:
    """Returns each glitch's log-probabilities: the mean over its views, renormalised.

    Args:
        logits: scores of each view.
        mask: which views there are; a glitch without any gets equal probabilities.
    """
    each = jnp.where(mask[..., None], jax.nn.log_softmax(logits), 0.0)
    views = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    return jax.nn.log_softmax(jnp.sum(each, axis=1) / views)


def training_mode(model: Classifier, *, train_all: bool) -> Classifier:
    """Returns the same arrays in a model that drops units and learns statistics where trained.

    Args:
        model: the classifier.
        train_all: False freezes the early layers, whose statistics then stay as they are.
    """
    view = nnx.view(model, use_running_average=True, deterministic=False)
    return nnx.view(view, only=_trained(model, train_all), use_running_average=False)


def inference_mode(model: Classifier) -> Classifier:
    """Returns the same arrays in a model that uses its statistics and drops nothing."""
    return nnx.view(model, use_running_average=True, deterministic=True)


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
