"""The report's network: its size, its equality with Keras, what is frozen, and fusion of views."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from keras_oracle import arrays, carry, flax_place, keras_classifier, relative_error

from flax_glitch.checkpoint import arrays_of
from flax_glitch.config import ModelConfig, Preprocessing
from flax_glitch.models.classifier import (
    build,
    compute_dtype,
    fuse,
    inference_mode,
    parameters,
    split,
    training_mode,
)
from flax_glitch.models.layers import Maker
from flax_glitch.models.systems import MODELS

RANDOM = np.random.default_rng(2)
PICTURES = RANDOM.normal(size=(8, 64, 64, 3)).astype(np.float32)
VIEWS = PICTURES[:, None]

# Of different brightness and contrast: pictures alike make normalisation magnify rounding.
TRAINING_PICTURES = (
    RANDOM.normal(size=(16, 32, 32, 3)) * RANDOM.uniform(0.2, 3, (16, 1, 1, 1))
    + RANDOM.normal(0, 2, (16, 1, 1, 3))
).astype(np.float32)
LABELS = np.arange(16)


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("keras")
    return keras_classifier()


@pytest.fixture(scope="module")
def ours(theirs):
    classifier = without_arrays(dropout=0.0)
    carry(theirs, classifier)
    return classifier


@pytest.fixture(scope="module")
def fresh():
    """A classifier with new weights, and dropout."""
    return build(ModelConfig(batch_norm_momentum=0.9), rngs=nnx.Rngs(0))


def without_arrays(**settings):
    return nnx.eval_shape(lambda: build(ModelConfig(**settings), rngs=nnx.Rngs(0)))


def by_place(*states):
    """Returns the arrays of states by their places in the backbone or head."""
    flat = [item for state in states for item in nnx.to_flat_state(state)]
    return {
        place[place[0] in ("backbone", "head") :]: np.asarray(variable[...])
        for place, variable in flat
    }


def size_of(state):
    return sum(array.size for array in jax.tree.leaves(state))


@jax.jit
def infer(state, views):
    graph, _ = nnx.split(inference_mode(without_arrays()))
    return nnx.merge(graph, state)(views, there(views))


def there(views):
    """A mask of views that are all there."""
    return np.ones(views.shape[:2], bool)


@partial(jax.jit, static_argnums=0)
def step(graph, trainable, frozen, statistics, key):
    def loss_of(trainable):
        model = nnx.merge(graph, trainable, frozen, statistics, copy=True)
        views = TRAINING_PICTURES[:, None]
        logits = model(views, there(views), key)[:, 0]
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()
        return loss, nnx.state(model, nnx.BatchStat)

    return jax.value_and_grad(loss_of, has_aux=True)(trainable)


def one_step(classifier, train_all, seed=0):
    graph, *state = split(training_mode(classifier, train_all=train_all), train_all=train_all)
    (loss, statistics), gradients = step(graph, *state, jax.random.key(seed))
    return float(loss), by_place(statistics), by_place(gradients)


@pytest.fixture(scope="module")
def our_step(ours):
    """Our loss, statistics and gradients, by their places, with the smooth softplus for ReLU.

    Under ReLU a few gradients would hang on the rounding of inputs that are almost zero.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nnx, "relu", jax.nn.softplus)
        return one_step(ours, train_all=False)


@pytest.fixture(scope="module")
def their_step(theirs):
    """Keras' loss, statistics and gradients of the same step."""
    import keras

    with pytest.MonkeyPatch.context() as patch:
        for layer in theirs.layers:
            if getattr(layer, "activation", None) is keras.activations.relu:
                patch.setattr(layer, "activation", keras.activations.softplus)
        return keras_step(theirs)


def keras_step(theirs):
    @jax.jit
    def step(trainable, others):
        def loss_of(trainable):
            logits, others_after = theirs.stateless_call(
                trainable, others, TRAINING_PICTURES, training=True
            )
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()
            return loss, others_after

        return jax.value_and_grad(loss_of, has_aux=True)(trainable)

    with jax.numpy_rank_promotion("allow"):
        (loss, others), gradients = step(
            arrays(theirs.trainable_variables), arrays(theirs.non_trainable_variables)
        )
    return float(loss), *(
        {
            flax_place(variable.path): np.asarray(array)
            for variable, array in zip(variables, values, strict=True)
            if "seed" not in variable.path
        }
        for variables, values in (
            (theirs.non_trainable_variables, others),
            (theirs.trainable_variables, gradients),
        )
    )


def test_the_report_s_numbers_of_parameters_hold():
    _, trainable, frozen, statistics = split(without_arrays(), train_all=False)
    assert size_of(trainable) == 15_541_142
    assert size_of(frozen) + size_of(statistics) == 8_616_576
    assert size_of((trainable, frozen, statistics)) == 24_157_718


def test_keras_counts_the_same_parameters(theirs):
    assert theirs.count_params() == 24_157_718
    assert sum(np.prod(v.shape) for v in theirs.trainable_variables) == 15_541_142


def test_nothing_is_frozen_when_everything_is_trained():
    _, trainable, frozen, _ = split(without_arrays(), train_all=True)
    assert size_of(frozen) == 0
    assert size_of(trainable) == 24_099_734


def test_in_inference_mode_the_logits_equal_those_of_keras(ours, theirs):
    found = infer(nnx.state(ours), VIEWS)
    run = jax.jit(lambda *state: theirs.stateless_call(*state, PICTURES)[0])
    with jax.numpy_rank_promotion("allow"):
        expected = run(arrays(theirs.trainable_variables), arrays(theirs.non_trainable_variables))
    assert found.shape == (8, 1, 22)
    assert found.dtype == jnp.float32
    assert relative_error(found[:, 0], expected) < 1e-4


def test_the_loss_of_a_training_step_equals_that_of_keras(our_step, their_step):
    assert our_step[0] == pytest.approx(their_step[0], rel=1e-4)


def test_the_gradients_of_a_training_step_equal_those_of_keras(our_step, their_step):
    found, expected = our_step[2], their_step[2]
    assert set(found) == set(expected)
    errors = {
        place: relative_error(found[place], expected[place])
        for place in expected
        if not cancelled(place)
    }
    assert max(errors.values()) < 1e-4, errors


def test_the_statistics_after_a_training_step_equal_those_of_keras(our_step, their_step):
    found, expected = our_step[1], their_step[1]
    for place in found:
        assert relative_error(found[place], expected[place]) < 1e-4, place


def test_only_the_statistics_of_trained_layers_change_in_a_step(ours, our_step):
    before = by_place(nnx.state(ours, nnx.BatchStat))
    for place, after in our_step[1].items():
        trained = "conv" not in place[0] or place[0].startswith("conv5")
        assert (after != before[place]).any() == trained, place


@pytest.mark.parametrize("train_all", [False, True])
def test_every_trained_parameter_gets_a_finite_gradient_and_only_those_that_cancel_get_none(
    fresh, train_all
):
    _, _, gradients = one_step(fresh, train_all)
    greatest = {place: np.abs(gradient).max() for place, gradient in gradients.items()}
    assert all(np.isfinite(value) for value in greatest.values())
    for place, value in greatest.items():
        if cancelled(place):
            assert value < 1e-4 * greatest[(*place[:-1], "kernel")], place
        else:
            assert value > 1e-5, place


def cancelled(place):
    """Whether a normalisation subtracts the parameter again, so that its gradient is rounding."""
    return place[-2].startswith("conv") and "bn" not in place[-2] and place[-1] == "bias"


def test_dropout_is_a_function_of_the_key(fresh):
    assert one_step(fresh, train_all=False, seed=1)[0] == one_step(fresh, False, seed=1)[0]
    assert one_step(fresh, train_all=False, seed=1)[0] != one_step(fresh, False, seed=2)[0]


def test_a_forgotten_mode_raises(fresh):
    with pytest.raises(ValueError, match="use_running_average"):
        fresh(VIEWS[:1], there(VIEWS[:1]))
    with pytest.raises(ValueError, match="No `deterministic`"):
        fresh.head.dropout(jnp.ones(4))
    with pytest.raises(ValueError, match="no `rngs`"):
        training_mode(fresh, train_all=False).head.dropout(jnp.ones(4))


def test_each_view_is_seen_as_if_it_were_alone(ours):
    together = infer(nnx.state(ours), PICTURES.reshape(2, 4, 64, 64, 3))
    alone = infer(nnx.state(ours), VIEWS)
    assert together.shape == (2, 4, 22)
    assert relative_error(together.reshape(8, 22), alone[:, 0]) < 1e-5


def test_one_glitch_predicts_as_its_row_in_a_batch(ours):
    assert (
        relative_error(infer(nnx.state(ours), VIEWS[3:4])[0], infer(nnx.state(ours), VIEWS)[3])
        < 1e-5
    )


def test_in_bfloat16_the_logits_are_float32():
    graph, state = nnx.split(inference_mode(without_arrays(precision="bfloat16")))
    features = jax.eval_shape(
        lambda state: nnx.merge(graph, state).features(VIEWS, there(VIEWS)), state
    )
    logits = jax.eval_shape(lambda state: nnx.merge(graph, state)(VIEWS, there(VIEWS)), state)
    assert features.dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}


def test_fusion_is_the_renormalised_mean_of_log_probabilities():
    logits = RANDOM.normal(0, 3, (5, 4, 22)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.prod(probabilities.astype(np.float64), axis=1) ** (1 / 4)
    expected /= expected.sum(-1, keepdims=True)
    found = jax.nn.softmax(fuse(logits, np.ones((5, 4), bool)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_fusion_leaves_missing_views_out():
    logits = RANDOM.normal(0, 3, (1, 4, 22)).astype(np.float32)
    mask = np.array([[True, False, True, False]])
    found = fuse(logits, mask)
    np.testing.assert_allclose(found, fuse(logits[:, ::2], np.ones((1, 2), bool)), rtol=1e-6)


def test_fusion_of_no_views_gives_equal_probabilities():
    logits = RANDOM.normal(0, 3, (2, 4, 22)).astype(np.float32)
    found = fuse(logits, np.array([[False] * 4, [True] * 4]))
    np.testing.assert_allclose(jax.nn.softmax(found[0]), 1 / 22, rtol=1e-6)
    assert np.isfinite(found).all()


def test_one_row_for_all_views_is_the_fused_one():
    logits = RANDOM.normal(0, 3, (2, 1, 22)).astype(np.float32)
    np.testing.assert_array_equal(fuse(logits, np.ones((2, 4), bool)), logits[:, 0])


@pytest.mark.parametrize("name", MODELS)
def test_the_settings_of_a_model_arrive_in_its_layers(name):
    model = without_arrays(name=name, dropout=0.3, batch_norm_momentum=0.8, precision="bfloat16")
    norms = [part for _, part in nnx.iter_modules(model) if isinstance(part, nnx.BatchNorm)]
    assert {norm.momentum for norm in norms} <= {0.8}
    assert model.head.dropout.rate == 0.3
    assert model.backbone.dtype == jnp.bfloat16


def forward(name, size, classes=22):
    """Returns the shape of the logits of a glitch's four windows of this size, nothing computed."""
    model = nnx.eval_shape(
        lambda: build(
            ModelConfig(name, "none"), Preprocessing(size, size), classes, rngs=nnx.Rngs(0)
        )
    )
    graph, state = nnx.split(inference_mode(model))
    views = jax.ShapeDtypeStruct((2, 4, size, size, 3), jnp.float32)
    return jax.eval_shape(
        lambda state, views: nnx.merge(graph, state)(views, np.ones((2, 4), bool)), state, views
    ).shape


@pytest.mark.parametrize("name", MODELS)
def test_a_model_does_with_its_least_size_and_with_no_smaller_one(name):
    least, seen = MODELS[name].least_size, 1 if MODELS[name].merged else 4
    assert forward(name, least) == (2, seen, 22)
    assert least == 16 or fails(name, least - 1)


def fails(name, size):
    try:
        forward(name, size)
    except (ValueError, ZeroDivisionError, TypeError):
        return True
    # Newer JAX makes layers of no inputs too.
    return size < nnx.eval_shape(lambda: MODELS[name].backbone(Maker(nnx.Rngs(0)))).reduction


@pytest.mark.parametrize("name", MODELS)
def test_a_model_tells_as_many_classes_apart_as_it_is_built_for(name):
    settings = ModelConfig(name, "none"), Preprocessing(32)
    assert forward(name, 32, classes=3)[-1] == 3
    shapes = [nnx.eval_shape(lambda n=n: build(*settings, n, rngs=nnx.Rngs(0))) for n in (3, 22)]
    few, many = ({k: v.shape for k, v in arrays_of(model).items()} for model in shapes)
    assert few.keys() == many.keys()
    changed = {place for place in few if few[place] != many[place]}
    last = shapes[0].last_layer
    assert changed == {f"{last}kernel", f"{last}bias"}
    assert parameters(*settings, 3) < parameters(*settings)


def test_automatic_precision_is_float32_on_a_cpu_and_bfloat16_elsewhere(monkeypatch):
    assert compute_dtype("bfloat16") == jnp.bfloat16
    for device, dtype in (("cpu", jnp.float32), ("gpu", jnp.bfloat16), ("tpu", jnp.bfloat16)):
        monkeypatch.setattr(jax, "default_backend", lambda device=device: device)
        assert compute_dtype("auto") == dtype
