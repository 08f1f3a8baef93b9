"""Figures show the numbers they should, legibly, for many classes and for few."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from flax_glitch.classes import CLASSES
from flax_glitch.evaluation import plots
from flax_glitch.evaluation.metrics import epoch_metrics


def made_up(n, classes=22):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    logits = rng.normal(size=(n, max(classes, 22)))
    logits[np.arange(n), labels] += 2
    return softmax(logits, axis=1), labels


def epoch(number, validation=True, **changes):
    metrics = dict.fromkeys(plots.PANELS, 0.5) | {"loss": 3 / number} | changes
    return {
        "epoch": number,
        "learning_rate": 1e-4,
        "training": metrics,
        "validation": metrics if validation else None,
        "pictures_per_second": 10.0,
    }


def boxes(figure, texts):
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in texts if text.get_text()]


def test_all_22_names_and_every_count_of_the_confusion_matrix_stand_free():
    truth = np.repeat(np.arange(22), 1100)
    figure = plots.confusion_matrix(truth, np.where(truth < 21, truth, 20), CLASSES, "title")
    axes = figure.axes[0]
    for texts in (axes.get_xticklabels(), axes.get_yticklabels(), axes.texts):
        extents = boxes(figure, texts)
        assert len(extents) == 22
        overlaps = [one.overlaps(other) for one, other in itertools.pairwise(extents)]
        assert not any(overlaps)
        assert all(figure.bbox.contains(*corner) for box in extents for corner in box.corners())
    cell = axes.bbox.width / 22
    assert max(box.width for box in boxes(figure, axes.texts)) < cell


def test_the_confusion_matrix_has_the_truth_in_rows_and_counts_in_cells():
    figure = plots.confusion_matrix(
        np.array([3, 3, 3, 7]), np.array([3, 3, 7, 7]), CLASSES, "title"
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Blip (3)", "Koi Fish (1)"]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1]])


def test_a_class_that_is_only_answered_is_shown_too():
    axes = plots.confusion_matrix(np.array([3, 3]), np.array([3, 9]), CLASSES, "title").axes[0]
    assert len(axes.get_yticklabels()) == 2


def test_a_single_class_gives_a_matrix_of_one_cell():
    axes = plots.confusion_matrix(np.array([3, 3]), np.array([3, 3]), CLASSES, "title").axes[0]
    assert [text.get_text() for text in axes.texts] == ["2"]


@pytest.mark.parametrize(
    ("curve", "area"),
    [(plots.precision_at, average_precision_score), (plots.recall_at, roc_auc_score)],
)
def test_the_mean_height_of_a_curve_is_its_area(curve, area):
    probabilities, labels = made_up(400)
    outcomes, scores = labels == 5, probabilities[:, 5]
    grid = np.linspace(0, 1, 100_001)[1:]
    assert curve(outcomes, scores, grid).mean() == pytest.approx(area(outcomes, scores), abs=1e-3)


@pytest.mark.parametrize(
    ("draw", "metric"),
    [(plots.precision_recall_curves, "pr_auc"), (plots.roc_curves, "roc_auc")],
)
def test_curves_show_each_class_and_the_mean_that_the_metrics_give(draw, metric):
    probabilities, labels = made_up(400)
    axes = draw(probabilities, labels, CLASSES, "title").axes[0]
    area = epoch_metrics(probabilities, labels)[metric]
    entries = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"mean of 22 classes {area:.4f}" in entries
    assert "each of the other 17" in entries
    assert len(axes.lines) == 23 + (metric == "roc_auc")


@pytest.mark.parametrize("count", [3, 24])
def test_figures_name_the_classes_that_they_are_given_however_many(count):
    classes = tuple(f"Class_{number}" for number in range(count))
    labels = np.arange(4 * count) % count
    probabilities = np.full((len(labels), count), 0.5 / (count - 1))
    probabilities[np.arange(len(labels)), (labels + (labels == 0)) % count] = 0.5
    matrix = plots.confusion_matrix(labels, probabilities.argmax(1), classes, "title").axes[0]
    assert matrix.get_yticklabels()[-1].get_text() == f"Class {count - 1} (4)"
    curves = plots.roc_curves(probabilities, labels, classes, "title").axes[0]
    entries = [text.get_text() for text in curves.get_legend().get_texts()]
    assert entries[0].startswith(f"mean of {count} classes") and entries[1].startswith("Class 0 ")


def test_the_named_curves_are_those_of_the_weakest_classes():
    probabilities, labels = made_up(400)
    axes = plots.precision_recall_curves(probabilities, labels, CLASSES, "title").axes[0]
    areas = [average_precision_score(labels == n, probabilities[:, n]) for n in range(22)]
    named = [float(text.get_text().split()[-1]) for text in axes.get_legend().get_texts()[1:6]]
    np.testing.assert_allclose(named, np.sort(areas)[:5], atol=1e-4)


@pytest.mark.parametrize("draw", [plots.precision_recall_curves, plots.roc_curves])
def test_curves_of_one_class_say_that_they_are_not_defined(draw):
    probabilities, _ = made_up(4)
    axes = draw(probabilities, np.full(4, 3), CLASSES, "title").axes[0]
    assert axes.texts[0].get_text().startswith("Not defined")


def test_the_reliability_diagram_has_the_share_of_right_answers_at_each_confidence():
    confidence = np.repeat([0.95, 0.61], [100, 50])
    probabilities = np.zeros((150, 22))
    probabilities[:, 3], probabilities[:, 4] = confidence, 1 - confidence
    labels = np.where(np.arange(150) % 10 < 7, 3, 4)
    halfway = np.where(probabilities > 0.5, 0.7, 0) + np.where(probabilities < 0.5, 0.3 / 21, 0)
    figure = plots.reliability_diagram({"bare": probabilities, "honest": halfway}, labels, "title")
    _, bare, honest = figure.axes[0].lines
    np.testing.assert_allclose(bare.get_xydata(), [[0.61, 0.7], [0.95, 0.7]])
    np.testing.assert_allclose(honest.get_xydata(), [[0.7, 0.7]])
    entries = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert entries == ["bare: ECE 19.67%", "honest: ECE 0.00%"]


def test_learning_curves_show_both_splits_and_leave_gaps_where_a_metric_is_none():
    history = [epoch(1), epoch(2, pr_auc=None), epoch(3, validation=False)]
    panels = {axes.get_title(): axes for axes in plots.learning_curves(history).axes}
    assert len(panels) == 8
    training, validation, best = panels["PR-AUC (macro)"].lines
    np.testing.assert_array_equal(training.get_ydata(), [0.5, np.nan, 0.5])
    np.testing.assert_array_equal(validation.get_ydata(), [0.5, np.nan, np.nan])
    assert best.get_xdata()[0] == 2


def test_learning_curves_of_one_epoch_without_validation_have_whole_ticks():
    figure = plots.learning_curves([epoch(1, validation=False)])
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["training"]


def test_plotting_leaves_the_global_plotting_state_alone():
    code = "import sys, flax_glitch.evaluation.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_of_classes_are_no_mathematics_and_never_too_long(tmp_path):
    assert plots.shown_name("a$_$b") == r"a\$ \$b"
    assert plots.shown_name("x" * 240) == "x" * 39 + "…"
    figure = plots.confusion_matrix(np.array([0, 1]), np.array([1, 1]), ("a$_{$b", "c"), "odd")
    figure.savefig(tmp_path / "odd.png")
