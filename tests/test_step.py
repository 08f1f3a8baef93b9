"""One training step against Keras and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from flax_glitch.config import (
    Config,
    ModelConfig,
    OptimiserConfig,
    Preprocessing,
    TrainingConfig,
)
from flax_glitch.data.batches import Batch
from flax_glitch.models.classifier import build, training_mode
from flax_glitch.models.preprocess import standardise
from flax_glitch.training.step import (
    class_weights,
    drop_windows,
    initial_state,
    make_train_step,
    rare_classes,
    rmsprop,
    weighted_loss,
    window_loss,
)

RNG = np.random.default_rng(0)


def test_rmsprop_moves_parameters_as_keras_does_over_several_steps():
    keras = pytest.importorskip("keras")
    start = RNG.normal(size=(5, 3)).astype(np.float32)
    # Gradients of very different sizes show where epsilon goes.
    gradients = [(RNG.normal(size=(5, 3)) * 10.0**-step).astype(np.float32) for step in range(6)]

    variable = keras.Variable(start)
    theirs = keras.optimizers.RMSprop(learning_rate=1e-3, rho=0.9, epsilon=1e-7)
    theirs.build([variable])
    ours = rmsprop(OptimiserConfig(learning_rate=1e-3))
    parameters = jnp.asarray(start)
    state = ours.init(parameters)
    for gradient in gradients:
        theirs.apply([jnp.asarray(gradient)])
        updates, state = ours.update(jnp.asarray(gradient), state)
        parameters = optax.apply_updates(parameters, updates)
        np.testing.assert_allclose(parameters, np.asarray(variable.value), rtol=2e-6)
    assert np.abs(np.asarray(parameters) - start).mean() > 1e-3


def test_balanced_class_weights_are_scikit_learns():
    labels = np.array([0, 0, 0, 0, 3, 3, 21])
    weights = class_weights(labels, "class-weights", 22)
    np.testing.assert_allclose(weights[labels], compute_sample_weight("balanced", labels))
    for other in ("none", "over-sampling", "randomised"):
        assert (class_weights(labels, other, 22) == 1).all()


def test_rare_classes_have_fewer_pictures_than_the_mean_class():
    labels = np.array([0] * 9 + [3] * 3 + [21])
    expected = np.ones(22, bool)
    expected[0] = False
    np.testing.assert_array_equal(rare_classes(labels, 22), expected)


def test_windows_are_left_out_but_never_all_and_none_is_invented():
    mask = np.tile([[True, True, False, True], [False, True, False, False]], (500, 1))
    kept = np.asarray(drop_windows(mask, jax.random.key(0)))
    assert (kept <= mask).all() and kept.any(axis=1).all()
    whole = (kept == mask).all(axis=1)
    assert whole[1::2].all()
    # half are left whole, and of the others those whose two other windows stay: 1/2 + 1/2 * 1/4
    assert whole[::2].mean() == pytest.approx(0.625, abs=0.06)
    assert kept[::2, [0, 1, 3]].mean(axis=0) == pytest.approx(np.full(3, 5 / 6), abs=0.06)


def test_a_glitch_is_trained_on_the_mean_score_of_windows_that_stay():
    config = Config(
        Preprocessing(32, colour="grayscale", normalise="unit"),
        model=ModelConfig("compact", "none", dropout=0.0),
        training=TrainingConfig(imbalance="none"),
    )
    classifier = build(config.model, config.preprocessing, rngs=nnx.Rngs(0))
    views = RNG.integers(0, 256, (12, 4, 32, 32, 3), np.uint8)
    mask = np.tile([True, False, False, True], (12, 1))
    mask[6:, 0] = False
    batch = Batch(views, mask, np.zeros(12, int), np.ones(12, np.float32))
    model = training_mode(classifier, train_all=True)
    each = np.asarray(model(standardise(views, config.preprocessing), mask, jax.random.key(0)))
    graphdef, state = initial_state(classifier, config, train_all=True)
    step = make_train_step(graphdef, config, batch.labels, 22, train_all=True)
    found = np.asarray(step(state, batch, jax.random.key(1))[1].logits)
    np.testing.assert_allclose(found[6:], each[6:, 3], atol=1e-4)
    possible = np.stack([each[:, 0], each[:, 3], each[:, [0, 3]].mean(axis=1)])[:, :6]
    close = np.isclose(found[:6], possible, atol=1e-4).all(axis=2)
    assert close.any(axis=0).all()
    assert close[2].any() and not close[2].all()


def test_the_loss_is_the_mean_of_weighted_cross_entropies():
    logits = RNG.normal(size=(8, 22)).astype(np.float32)
    labels = RNG.integers(22, size=8)
    weights = RNG.uniform(0.5, 2, size=22).astype(np.float32)
    probabilities = np.asarray(jax.nn.softmax(logits))
    expected = log_loss(
        labels, probabilities, sample_weight=weights[labels], normalize=False, labels=range(22)
    )
    np.testing.assert_allclose(weighted_loss(logits, labels, weights), expected / 8, rtol=1e-5)


def test_the_loss_of_windows_is_that_of_pictures_each_by_itself_missing_ones_left_out():
    scores = RNG.normal(size=(6, 4, 22)).astype(np.float32)
    labels = RNG.integers(22, size=6)
    weights = RNG.uniform(0.5, 2, size=22).astype(np.float32)
    mask = RNG.random((6, 4)) < 0.6
    truth = np.broadcast_to(labels[:, None], mask.shape)[mask]
    expected = log_loss(
        truth,
        np.asarray(jax.nn.softmax(scores[mask])),
        sample_weight=weights[truth],
        normalize=False,
        labels=range(22),
    )
    found = window_loss(scores, mask, labels, weights)
    np.testing.assert_allclose(found, expected / mask.sum(), rtol=1e-5)


def test_with_a_teacher_the_loss_is_the_cross_entropy_with_its_probabilities():
    scores = RNG.normal(size=(6, 4, 22)).astype(np.float32)
    taught = RNG.normal(size=(6, 4, 22), scale=3).astype(np.float32)
    labels, mask = RNG.integers(22, size=6), RNG.random((6, 4)) < 0.6
    weights = RNG.uniform(0.5, 2, size=22).astype(np.float32)
    own, said = (np.asarray(jax.nn.softmax(x))[mask] for x in (scores, taught))
    classes = np.tile(np.arange(22), len(own))  # each picture once for each class, as often as said
    each = said * np.broadcast_to(weights[labels][:, None], mask.shape)[mask][:, None]
    expected = log_loss(
        classes, np.repeat(own, 22, axis=0), sample_weight=each.ravel(), normalize=False
    )
    found = window_loss(scores, mask, labels, weights, taught)
    np.testing.assert_allclose(found, expected / mask.sum(), rtol=1e-5)
    alone = weighted_loss(scores[:, 0], labels, weights, taught[:, 0])
    sure = np.full((6, 22), -50, np.float32)
    sure[np.arange(6), labels] = 50
    assert abs(alone - weighted_loss(scores[:, 0], labels, weights)) > 0.1
    certain = weighted_loss(scores[:, 0], labels, weights, sure)
    np.testing.assert_allclose(certain, weighted_loss(scores[:, 0], labels, weights), rtol=1e-6)
