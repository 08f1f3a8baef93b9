"""The training state, the pure functions that carry it one step further, and what steps say."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Bool, Float
from scipy.special import softmax
from sklearn.utils.class_weight import compute_class_weight

from flax_glitch.arrays import AnyArray, ClassWeights, Key, Labels, Logits, Mask, Pictures
from flax_glitch.config import Config, Imbalance, OptimiserConfig
from flax_glitch.data.augment import VARIATIONS, Variation, augment
from flax_glitch.data.batches import Batch
from flax_glitch.evaluation.metrics import epoch_metrics
from flax_glitch.models.classifier import (
    Classifier,
    are_maps,
    fuse,
    split,
    training_mode,
)
from flax_glitch.models.preprocess import standardise

RHO = 0.9
"""RMSprop's decay of squared gradients, as Keras and the report have it."""
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

    @property
    def model(self) -> tuple[nnx.State, nnx.State, nnx.State]:
        """The states that make up the network."""
        return self.trainable, self.frozen, self.statistics


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StepOutput:
    """What a training step says: the weighted loss and the logits of its pictures."""

    loss: jax.Array
    logits: jax.Array


RareClasses = Bool[np.ndarray, " class"]
TrainStep = Callable[[TrainState, Batch, Key], tuple[TrainState, StepOutput]]


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


def class_weights(labels: Labels, imbalance: Imbalance, classes: int) -> ClassWeights:
    """Returns the weight of each class in the loss.

    Args:
        labels: class numbers of the training pictures.
        imbalance: with "class-weights" n / (classes present * n of the class), as scikit-learn's
            "balanced"; else one.
        classes: how many there are.
    """
    weights = np.ones(classes, np.float32)
    if imbalance == "class-weights":
        present = np.unique(labels)
        weights[present] = compute_class_weight("balanced", classes=present, y=np.asarray(labels))
    return weights


def rare_classes(labels: Labels, classes: int) -> RareClasses:
    """Returns which classes have fewer pictures than the mean class that has any."""
    counts = np.bincount(labels, minlength=classes)
    return counts < counts[counts > 0].mean()


def drop_windows(mask: Mask, key: Key) -> jax.Array:
    """Returns the mask of windows with some left out, so that a network learns to do without.

    Half of the glitches keep all of theirs; of the others each goes with a chance of one half, but
    for one that stays.
    """
    mask = jnp.asarray(mask)
    whole_key, each_key, one_key = jax.random.split(key, 3)
    chance = jnp.where(mask, jax.random.uniform(one_key, mask.shape), -1.0)
    stays = chance == chance.max(axis=1, keepdims=True)
    stays |= jax.random.bernoulli(each_key, shape=mask.shape)
    stays |= jax.random.bernoulli(whole_key, shape=(len(mask), 1))
    return mask & stays


def cross_entropy(scores: Logits, labels: Labels, taught: Logits | None) -> jax.Array:
    """Returns that of each row of scores with its label, or with a teacher's probabilities.

    A teacher's say how alike classes are, and where a label may be wrong (Hinton et al. 2015,
    arXiv:1503.02531; its temperature is 1 here).
    """
    if taught is not None:
        return optax.softmax_cross_entropy(scores, jax.nn.softmax(jnp.asarray(taught)))
    labels = jnp.asarray(labels).reshape(-1, *[1] * (scores.ndim - 2))
    return optax.softmax_cross_entropy_with_integer_labels(
        scores, jnp.broadcast_to(labels, scores.shape[:-1])
    )


def weighted_loss(
    logits: Logits, labels: Labels, weights: ClassWeights, taught: Logits | None = None
) -> jax.Array:
    """Returns the cross-entropy, each sample times its class's weight, averaged (Keras)."""
    losses = cross_entropy(logits, labels, taught)
    return jnp.mean(losses * jnp.asarray(weights)[labels])


def window_loss(
    scores: Float[AnyArray, "batch view class"],
    mask: Mask,
    labels: Labels,
    weights: ClassWeights,
    taught: Logits | None = None,
) -> jax.Array:
    """Returns the mean over windows of what `weighted_loss` is for glitches: each must do alone."""
    losses = cross_entropy(scores, labels, taught)
    there = jnp.asarray(mask)
    return jnp.sum(losses * jnp.asarray(weights)[labels][:, None] * there) / jnp.sum(there)


def initial_state(
    classifier: Classifier, config: Config, *, train_all: bool
) -> tuple[nnx.GraphDef, TrainState]:
    """Returns the structure of a classifier and its state before the first step."""
    graphdef, trainable, frozen, statistics = split(classifier, train_all=train_all)
    optimiser = rmsprop(config.optimiser).init(trainable)
    step = jnp.zeros((), jnp.int32)
    return graphdef, TrainState(step, trainable, frozen, statistics, optimiser)


def make_train_step(
    graphdef: nnx.GraphDef, config: Config, labels: Labels, classes: int, *, train_all: bool
) -> TrainStep:
    """Returns the jitted step (state, batch, key) → (state, output); the old state is given up.

    The key is that of the run: each step folds its own number into it.

    Args:
        graphdef: structure of the network.
        config: settings of the run.
        labels: class numbers of all training units, which tell what is rare.
        classes: how many there are.
        train_all: False freezes the early layers.
    """
    optimiser = rmsprop(config.optimiser)
    weights = class_weights(labels, config.training.imbalance, classes)
    vary = _variation(config, rare_classes(labels, classes))

    def loss_of(
        trainable: nnx.State, state: TrainState, batch: Batch, key: Key
    ) -> tuple[jax.Array, tuple[jax.Array, nnx.State]]:
        model = nnx.merge(graphdef, trainable, state.frozen, state.statistics, copy=True)
        variation, dropout, window = jax.random.split(jax.random.fold_in(key, state.step), 3)
        mask = drop_windows(batch.mask, window) if batch.mask.shape[1] > 1 else batch.mask
        model = training_mode(model, train_all=train_all)
        if are_maps(batch.views):
            scores = jnp.asarray(model.of_maps(batch.views, dropout))
        else:
            views = standardise(vary(batch, variation), config.preprocessing)
            scores = jnp.asarray(model(views, mask, dropout))
        logits, taught = fuse(scores, mask), batch.taught
        together = None if taught is None else fuse(taught, mask)
        loss = weighted_loss(logits, batch.labels, weights, together)
        if scores.shape[1] > 1:
            each = window_loss(scores, batch.mask, batch.labels, weights, taught)
            loss = (loss + each) / 2
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


class EpochOutputs:
    """The losses, logits and labels of an epoch's batches so far, fetched one step late.

    Waiting for a step's numbers only after the next one has been started keeps the device busy.
    """

    def __init__(self, batches: int, batch_size: int, classes: int):
        self.arrays = {
            "losses": np.zeros(batches, np.float32),
            "logits": np.zeros((batches, batch_size, classes), np.float32),
            "labels": np.zeros((batches, batch_size), np.int32),
        }
        self._pending: tuple[int, StepOutput] | None = None
        self._so_far = np.zeros(3)

    def go_on(self, arrays: Mapping[str, Any], batches: int) -> None:
        """Takes what was saved of the first so many batches of an epoch."""
        self.arrays = {name: np.array(array) for name, array in arrays.items()}
        for number in range(batches):
            self._count(number)

    def add(self, number: int, labels: np.ndarray, output: StepOutput) -> None:
        """Takes the output of the batch of this number."""
        self.fetch()
        if number == 0:
            self._so_far = np.zeros(3)
        self.arrays["labels"][number] = labels
        self._pending = number, output

    def fetch(self) -> None:
        """Waits for the last output.

        Raises:
            FloatingPointError: if its loss is not finite.
        """
        if self._pending is None:
            return
        number, output = self._pending
        self._pending = None
        self.arrays["losses"][number] = loss = float(output.loss)
        self.arrays["logits"][number] = output.logits
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss of batch {number + 1} of this epoch is {loss}: start a new run with a "
                "lower --learning-rate, or --resume from the last checkpoint"
            )
        self._count(number)

    def metrics(self, batches: int) -> dict[str, float | None]:
        """Returns the metrics over the first so many batches."""
        logits = self.arrays["logits"][:batches]
        labels = self.arrays["labels"][:batches].reshape(-1)
        loss = float(self.arrays["losses"][:batches].mean())
        probabilities = softmax(logits.reshape(-1, logits.shape[-1]).astype(float), axis=1)
        return {"loss": loss, **epoch_metrics(probabilities, labels)}

    def running(self) -> dict[str, str]:
        """Returns loss and accuracy so far, for the progress bar."""
        count, loss, right = self._so_far
        return {"loss": f"{loss / count:.3f}", "accuracy": f"{right / count:.3f}"} if count else {}

    def _count(self, number: int) -> None:
        right = self.arrays["logits"][number].argmax(-1) == self.arrays["labels"][number]
        self._so_far += (1, self.arrays["losses"][number], right.mean())


def _variation(config: Config, rare: RareClasses) -> Callable[[Batch, Key], Pictures]:
    """Returns how pictures are varied: as settings say, or those of rare classes alone."""
    chosen = VARIATIONS[config.data.variation]
    if config.training.imbalance != "randomised":
        return lambda batch, key: augment(batch.views, key, chosen)
    for_rare = VARIATIONS["report"] if chosen == Variation() else chosen
    return lambda batch, key: augment(batch.views, key, for_rare, jnp.asarray(rare)[batch.labels])
