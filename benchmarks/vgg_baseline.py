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
from cross_validation import few_of_each, folds, hardest, real_glitches
from flax import nnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from flax_glitch.classes import CLASSES, INDEX
from flax_glitch.config import Preprocessing
from flax_glitch.data.pictures import resize
from flax_glitch.data.prepared import Entry
from flax_glitch.data.sources import Glitch, read_picture
from flax_glitch.evaluation.evaluate import Outputs, summary
from flax_glitch.evaluation.report import as_text, write_report
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
    glitches = real_glitches(given.real, given.out)
    entries, numbers = entries_of(glitches)
    features = kept_features(given.out / "features.npy", glitches, given.weights)
    labels = labels_of(entries)
    more = few_of_each(given.simulated, given.share) if given.simulated else []
    others = kept_features(given.out / f"simulated-{len(more)}.npy", more, given.weights)
    of_others = labels_of(entries_of(more)[0])
    logits = np.zeros((len(entries), len(CLASSES)), np.float32)
    for judged in folds(glitches, given.folds):
        test = judged[numbers]
        known = np.concatenate([features[~test], others])
        logits[test] = fitted(known, np.append(labels[~test], of_others), features[test])
    outputs = Outputs(logits, entries)
    measured = summary(outputs)
    write_report(given.out, outputs, measured, {"folds": given.folds})
    print(as_text(measured))
    print(hardest(outputs))


def entries_of(glitches: list[Glitch]) -> tuple[tuple[Entry, ...], np.ndarray]:
    """Returns the pictures of the glitches, and the number of each one's glitch."""
    entries, numbers = [], []
    for number, glitch in enumerate(glitches):
        for duration, ref in glitch.views.items():
            entries.append(Entry(ref.name, glitch.id, glitch.ifo, duration, glitch.label))
            numbers.append(number)
    return tuple(entries), np.array(numbers)


def labels_of(entries: tuple[Entry, ...]) -> np.ndarray:
    """Returns the class number of each picture."""
    return np.array([INDEX[entry.label] for entry in entries], int)


def kept_features(path: Path, glitches: list[Glitch], weights: Path) -> np.ndarray:
    """Returns the features of all pictures, computed on the first call."""
    if path.exists():
        return np.load(path)
    if not glitches:
        return np.zeros((0, 1024), np.float32)
    refs = [ref for glitch in glitches for ref in glitch.views.values()]
    pooled = network(weights)
    found = []
    for start in tqdm(range(0, len(refs), BATCH), "Features", unit="batch"):
        chosen = refs[start : start + BATCH]
        pictures = np.stack([resize(read_picture(ref).pixels, CAFFE.size) for ref in chosen])
        filled = np.pad(pictures, ((0, BATCH - len(chosen)), (0, 0), (0, 0), (0, 0)))
        found.append(np.asarray(pooled(filled))[: len(chosen)])
    features = np.concatenate(found)
    np.save(path, features)
    return features


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
