"""What makes class scores of feature maps: three kinds of heads.

A head computes in float32 whatever the backbone computes in. Its two parts are kept apart because
the first one's result, the embedding, is of use by itself.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from flax_glitch.arrays import Embeddings, Features, Key, Logits
from flax_glitch.models.layers import batch_norm, dense

EPSILON = 1e-3
"""Added to the variances; Keras' own number for batch normalisation."""


class PooledHead(nnx.Module):
    """The head of the fine-tuned networks.

    Global max pooling, then dense layers of 256, 128 and 22 units, each after a batch
    normalisation (Sonavane et al. 2023).

    Args:
        features: depth of the feature maps.
        dropout: share of units dropped in training.
        momentum: how slowly batch statistics are averaged.
        rngs: source of the random kernels.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        dropout: float = 0.5,
        momentum: float = 0.99,
        rngs: nnx.Rngs,
    ) -> None:
        norm = {"momentum": momentum, "epsilon": EPSILON}
        self.norm1 = batch_norm(features, **norm, rngs=rngs)
        self.dense1 = dense(features, 256, rngs=rngs)
        self.norm2 = batch_norm(256, **norm, rngs=rngs)
        self.dense2 = dense(256, 128, rngs=rngs)
        self.norm3 = batch_norm(128, **norm, rngs=rngs)
        self.dense3 = dense(128, classes, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, deterministic=None)

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view; the key is that of the dropout, for training mode."""
        first, second = (None, None) if key is None else jax.random.split(key)
        x = jnp.max(features, axis=(2, 3)).astype(jnp.float32)
        x = nnx.relu(self.dense1(self.norm1(x)))
        x = self.norm2(self.dropout(x, rngs=first))
        x = nnx.relu(self.dense2(x))
        return self.norm3(self.dropout(x, rngs=second))

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.dense3(jnp.asarray(embeddings))


class SummaryHead(nnx.Module):
    """The mean and the greatest of each feature over the picture, then one dense layer.

    Args:
        features: depth of the feature maps.
        dropout: share of the summary dropped in training.
        rngs: source of the random kernel.
    """

    def __init__(self, features: int, classes: int, *, dropout: float, rngs: nnx.Rngs) -> None:
        self.output = dense(2 * features, classes, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, deterministic=None)

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view; the key is that of the dropout, for training mode."""
        x = jnp.asarray(features, jnp.float32)
        x = jnp.concatenate([x.mean((2, 3)), x.max((2, 3))], axis=-1)
        return self.dropout(x, rngs=key)

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.output(jnp.asarray(embeddings))


class FlatHead(nnx.Module):
    """The head of the custom networks: all features in a row, then dense layers with dropout.

    Args:
        features: number of features in all.
        widths: units of the hidden layers.
        dropout: share of units dropped in training.
        rngs: source of the random kernels.
    """

    def __init__(
        self, features: int, widths: Sequence[int], classes: int, *, dropout: float, rngs: nnx.Rngs
    ) -> None:
        sizes = (features, *widths)
        self.hidden = nnx.List(
            dense(before, after, rngs=rngs) for before, after in zip(sizes, widths, strict=False)
        )
        self.output = dense(sizes[-1], classes, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, deterministic=None)

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view; the key is that of the dropout, for training mode."""
        x = jnp.asarray(features, jnp.float32).reshape(*features.shape[:2], -1)
        for number, layer in enumerate(self.hidden):
            drawn = None if key is None else jax.random.fold_in(key, number)
            x = self.dropout(nnx.relu(layer(x)), rngs=drawn)
        return x

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.output(jnp.asarray(embeddings))
