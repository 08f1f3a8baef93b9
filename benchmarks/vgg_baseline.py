"""The baseline on real glitches: ImageNet's VGG16 as it is, and a logistic regression.

    python benchmarks/vgg_baseline.py --weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 \
        --real DATA/gravityspy DATA/golden DATA/figures DATA/community DATA/o3 --out baseline/

The mean of each feature of blocks 4 and 5 (1,024 numbers a picture) goes into scikit-learn's
logistic regression, classes weighted, trained on the real pictures of the other folds. Folds and
metrics are those of `cross_validation.py`. With --simulated FOLDER, --share simulated glitches of
each class are trained on beside them. The features are slow, so the folder keeps them.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import few_of_each, folds, kept, labels_of, of_the_22, read_tables, told
from flax import nnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flax_glitch.classes import CLASSES
from flax_glitch.config import Preprocessing
from flax_glitch.data.table import glitch_numbers
from flax_glitch.evaluation.evaluate import Outputs
from flax_glitch.models.layers import Maker
from flax_glitch.models.preprocess import standardise
from flax_glitch.models.pretrained import load_keras_weights
from flax_glitch.models.vgg import BLOCKS, VGG16

CAFFE = Preprocessing(224, normalise="caffe")
BATCH = 8


def main() -> None:
    """Trains, judges and prints; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--simulated", type=Path)
    parser.add_argument("--share", type=int, default=20, help="simulated glitches a class")
    given = parser.parse_args()
    real, pooled = of_the_22(read_tables(given.real)), network(given.weights)
    features = kept(given.out / "features.npy", real, CAFFE.shape, pooled, BATCH)
    known, labels = [], []
    if given.simulated:
        more = few_of_each(read_tables([given.simulated]), given.share)
        file = given.out / f"simulated-{len(more)}.npy"
        known, labels = [kept(file, more, CAFFE.shape, pooled, BATCH)], [labels_of(more)]
    logits = np.zeros((len(real), len(CLASSES)), np.float32)
    for judged in folds(real, given.folds):
        test = judged[glitch_numbers(real)]
        others = np.concatenate([features[~test], *known])
        truth = np.concatenate([labels_of(real)[~test], *labels])
        logits[test] = fitted(others, truth, features[test])
    told(Outputs(logits, real, CLASSES), given.out, {"folds": given.folds})


def network(weights: Path):  # noqa: ANN201
    """Returns the jitted function from pictures to the mean features of blocks 4 and 5."""
    backbone = nnx.eval_shape(lambda: VGG16(Maker(nnx.Rngs(0))))
    load_keras_weights(backbone, weights)
    graph, state = nnx.split(backbone)

    @jax.jit
    def pooled(state, pictures):  # noqa: ANN001, ANN202
        model = nnx.merge(graph, state)
        x = standardise(pictures, CAFFE)
        means = {}
        for name in BLOCKS:
            means[name] = (x := getattr(model, name)(x)).mean((1, 2))
        return jnp.concatenate([means["block4"], means["block5"]], axis=1)

    return lambda pictures: pooled(state, pictures)


def fitted(features: np.ndarray, labels: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Returns the log-probabilities of the judged pictures."""
    regression = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    model = make_pipeline(StandardScaler(), regression).fit(features, labels)
    scores = np.full((len(judged), len(CLASSES)), -30.0)
    scores[:, model.classes_] = model.predict_log_proba(judged)
    return scores


if __name__ == "__main__":
    main()
