"""The end of a run: what its best model says of validation makes its probabilities honest."""

from functools import partial

import numpy as np
from flax import nnx

from flax_glitch.checkpoint import add_calibration, load_into, read_description
from flax_glitch.data.prepared import glitch_numbers
from flax_glitch.evaluation.evaluate import evaluate
from flax_glitch.models.classifier import build, is_merged
from flax_glitch.predict.calibration import ENOUGH, fit
from flax_glitch.strain.picture import colour_distance
from flax_glitch.training.card import model_card
from flax_glitch.training.run import Run
from flax_glitch.training.step import initial_state


def calibrate(run: Run) -> None:
    """Adds the calibration to a run's model, unless it has one or validation is too small.

    Raises:
        CheckpointError: if there is no model, or it can't be written.
    """
    validation = run.prepared.split("validation")
    described = read_description(run.folder)
    if described.calibration or len(set(glitch_numbers(validation.entries))) < ENOUGH:
        return
    config = run.config
    classifier = build(config.model, config.preprocessing, rngs=nnx.Rngs(0))
    load_into(classifier, run.folder)
    _, state = initial_state(classifier, config, train_all=config.model.weights == "none")
    merged = is_merged(config.model.name)
    outputs = evaluate(partial(run.forward, state.model), validation, run.batch_size, merged=merged)
    colours = np.array([colour_distance(validation[n]) for n in range(len(validation))])
    calibration = fit(
        outputs.logits, colours, outputs.glitches, outputs.glitch_labels, outputs.fused
    )
    card = model_card(run.name, config, described.provenance, calibration)
    add_calibration(run.folder, calibration, card)
