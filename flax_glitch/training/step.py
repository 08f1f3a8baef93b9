"""The training state and the pure functions that carry it one step further."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.utils.class_weight import compute_class_weight

from flax_glitch.arrays import ClassWeights, Key, Labels, Logits, RawViews
from flax_glitch.classes import CLASSES
from flax_glitch.config import Config, OptimiserConfig
from flax_glitch.data.augment import augment
from flax_glitch.data.batches import Batch
from flax_glitch.data.pictures import standardise
from flax_glitch.models.classifier import Classifier, inference_mode, split, training_mode

RHO = 0.9
"""RMSprop's decay of squared gradients, as Keras has it (FIELD: rho 0.9)."""
EPSILON = 1e-7
"""Added to the averaged squared gradient under the root, as Keras does."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that changes in training, and the frozen weights that go with it."""

    step: jax.Array
    trainable: nnx.State
    frozen: nnx.State
    statistics: nnx.State
    optimiser: optax.OptState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StepOutput:
    """What a training step says: the weighted loss and the logits of its pictures."""

    loss: jax.Array
    logits: jax.Array


TrainStep = Callable[[TrainState, Batch, Key], tuple[TrainState, StepOutput]]
Forward = Callable[[TrainState, RawViews], jax.Array]


def rmsprop(config: OptimiserConfig) -> optax.GradientTransformation:
    """Returns Keras' RMSprop (no momentum), its learning rate kept in the state."""
    make = optax.inject_hyperparams(optax.rmsprop, static_args=("decay", "eps", "initial_scale"))
    return make(learning_rate=config.learning_rate, decay=RHO, eps=EPSILON, initial_scale=0.0)


def with_learning_rate(state: TrainState, learning_rate: float) -> TrainState:
    """Returns the state with another learning rate."""
    hyperparameters = state.optimiser.hyperparams | {
        "learning_rate": jnp.asarray(learning_rate, jnp.float32)
    }
    optimiser = state.optimiser._replace(hyperparams=hyperparameters)
    return dataclasses.replace(state, optimiser=optimiser)


def class_weights(labels: Labels, kind: Literal["balanced", "none"]) -> ClassWeights:
    """Returns the weight of each of the 22 classes in the loss.

    Args:
        labels: class numbers of the training pictures.
        kind: "balanced", n / (classes present * n of the class), as scikit-learn, or "none".
    """
    weights = np.ones(len(CLASSES), np.float32)
    if kind == "balanced":
        present = np.unique(labels)
        weights[present] = compute_class_weight("balanced", classes=present, y=np.asarray(labels))
    return weights


def weighted_loss(logits: Logits, labels: Labels, weights: ClassWeights) -> jax.Array:
    """Returns the cross-entropy, each sample times its class's weight, averaged (Keras)."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses * jnp.asarray(weights)[labels])


def initial_state(
    classifier: Classifier, config: Config, *, train_all: bool
) -> tuple[nnx.GraphDef, TrainState]:
    """Returns the structure of a classifier and its state before the first step."""
    graphdef, trainable, frozen, statistics = split(classifier, train_all=train_all)
    optimiser = rmsprop(config.optimiser).init(trainable)
    step = jnp.zeros((), jnp.int32)
    return graphdef, TrainState(step, trainable, frozen, statistics, optimiser)


def make_train_step(
    graphdef: nnx.GraphDef, config: Config, weights: ClassWeights, *, train_all: bool
) -> TrainStep:
    """Returns the jitted step (state, batch, key) → (state, output); the old state is given up.

    The key is that of the run: each step folds its own number into it.
    """
    optimiser = rmsprop(config.optimiser)

    def loss_of(
        trainable: nnx.State, state: TrainState, batch: Batch, key: Key
    ) -> tuple[jax.Array, tuple[jax.Array, nnx.State]]:
        model = nnx.merge(graphdef, trainable, state.frozen, state.statistics, copy=True)
        variation, dropout = jax.random.split(jax.random.fold_in(key, state.step))
        pictures = augment(
            batch.views,
            variation,
            mirror=config.data.mirror,
            zoom=config.data.zoom,
            shift=config.data.shift,
        )
        views = standardise(pictures, config.preprocessing)
        model = training_mode(model, train_all=train_all)
        logits = jnp.asarray(model(views, dropout)[:, 0])
        loss = weighted_loss(logits, batch.labels, weights)
        return loss, (logits, nnx.state(model, nnx.BatchStat))

    @partial(jax.jit, donate_argnums=0)
    def train_step(state: TrainState, batch: Batch, key: Key) -> tuple[TrainState, StepOutput]:
        (loss, (logits, statistics)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            state.trainable, state, batch, key
        )
        updates, optimiser_state = optimiser.update(gradients, state.optimiser)
        trainable = optax.apply_updates(state.trainable, updates)
        new = TrainState(state.step + 1, trainable, state.frozen, statistics, optimiser_state)
        return new, StepOutput(loss, logits)

    return train_step


def make_forward(graphdef: nnx.GraphDef, config: Config) -> Forward:
    """Returns the jitted function (state, views) → logits of each view, in inference mode."""

    @jax.jit
    def forward(state: TrainState, views: RawViews) -> jax.Array:
        model = nnx.merge(graphdef, state.trainable, state.frozen, state.statistics, copy=True)
        return jnp.asarray(inference_mode(model)(standardise(views, config.preprocessing)))

    return forward
