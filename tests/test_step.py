"""One training step against Keras and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from flax_glitch.config import OptimiserConfig
from flax_glitch.training.step import class_weights, rmsprop, weighted_loss

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
    weights = class_weights(labels, "balanced")
    np.testing.assert_allclose(weights[labels], compute_sample_weight("balanced", labels))
    assert (class_weights(labels, "none") == 1).all()


def test_the_loss_is_the_mean_of_weighted_cross_entropies():
    logits = RNG.normal(size=(8, 22)).astype(np.float32)
    labels = RNG.integers(22, size=8)
    weights = RNG.uniform(0.5, 2, size=22).astype(np.float32)
    probabilities = np.asarray(jax.nn.softmax(logits))
    expected = log_loss(
        labels, probabilities, sample_weight=weights[labels], normalize=False, labels=range(22)
    )
    np.testing.assert_allclose(weighted_loss(logits, labels, weights), expected / 8, rtol=1e-5)
