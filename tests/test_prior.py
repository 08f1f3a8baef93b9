"""Class frequencies: Bayes' rule, names and files, the predictor under them."""

import csv
import json
import re

import numpy as np
import pytest
from nearest_picture import NearestPicture
from test_cli import run
from toy_pictures import toy_picture

from flax_glitch import Predictor
from flax_glitch.classes import CLASSES, TRAINING_SET
from flax_glitch.config import UsageError
from flax_glitch.predict import prior
from flax_glitch.predict.prior import names_for, prior_of, trained_under, under

THREE = ("Blip", "Tomte", "Zebra_Stripes")
UNTOLD = {"config": {"training": {"imbalance": "none"}}}


def test_one_of_two_classes_comes_seven_times_as_often():
    np.testing.assert_allclose(under(np.array([0.8, 0.2]), np.array([1.0, 7.0])), [4 / 11, 7 / 11])


@pytest.mark.parametrize("balanced", [True, False])
def test_it_is_what_bayes_rule_gives_with_the_other_frequencies(balanced):
    random = np.random.default_rng(0)
    looks = random.random((50, 22))  # p(picture | class)
    trained = np.full(22, 1 / 22) if balanced else random.dirichlet(np.ones(22))
    wanted = random.dirichlet(np.ones(22))

    def posterior(frequencies):
        joint = looks * frequencies
        return joint / joint.sum(axis=1, keepdims=True)

    found = under(posterior(trained), wanted, None if balanced else trained)
    np.testing.assert_allclose(found, posterior(wanted))
    np.testing.assert_allclose(under(found, trained, wanted), posterior(trained))
    np.testing.assert_allclose(under(posterior(trained)[3], wanted, trained), found[3])


def test_gravity_spys_frequencies_are_those_of_its_training_sets_table(shared_data):
    with (shared_data / "triggers" / "class_quantiles.csv").open(newline="") as file:
        rows = {row.pop("label"): row for row in csv.DictReader(file)}
    counts = [int(rows[c]["v1d1_n_H1"]) + int(rows[c]["v1d1_n_L1"]) for c in CLASSES]
    shares = prior_of("gravity-spy", CLASSES).shares
    np.testing.assert_allclose(shares, np.array(counts) / sum(counts))
    assert sum(TRAINING_SET.values()) == 7966
    np.testing.assert_allclose(prior_of("gravity-spy", CLASSES[::-1]).shares, shares[::-1])


def test_a_model_of_other_classes_can_only_be_balanced(monkeypatch):
    assert names_for(CLASSES) == ("balanced", "gravity-spy")
    assert names_for(THREE) == names_for(CLASSES[:5]) == ("balanced",)
    with pytest.raises(
        UsageError, match=r"^gravity-spy: has the frequencies of .* 22 classes, and"
    ):
        prior_of("gravity-spy", THREE)
    monkeypatch.setattr(prior, "PRIOR", "gravity-spy")
    assert prior_of(None, CLASSES).name == "gravity-spy"
    assert prior_of(None, THREE).name == "balanced"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "class,count\nTomte,1\nZebra_Stripes,2\nBlip,7\n"),
        ("a.csv", "\ufeffid,share,class\n1,0.7,blip\n2,0.1,TOMTE\n3,0.2,Zebra_Stripes\n"),
        ("a.json", '{"Zebra_Stripes": 2, "Tomte": 1, "Blip": 7}'),
    ],
)
def test_a_file_tells_the_frequencies_in_any_order_and_its_hash_names_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = prior_of(tmp_path / name, THREE)
    np.testing.assert_allclose(found.shares, [0.7, 0.1, 0.2])
    assert re.fullmatch(rf"{name} \([0-9a-f]{{12}}\)", found.name)
    (tmp_path / name).write_text(text.replace("1", "3"))
    assert prior_of(str(tmp_path / name), THREE).name != found.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class,count\nBlip,1\n", "has no Tomte, Zebra_Stripes; give each class"),
        ("class,count\nBlip,1\nTomte,0\nZebra_Stripes,1\n", "Tomte has '0'; give a number above 0"),
        ("class,count\nBlip,-1\n", "Blip has '-1'; give a number above 0"),
        ("class,count\nBlip,nan\n", "Blip has 'nan'; give a number above 0"),
        ("class,count\nBlip,inf\n", "Blip has 'inf'; give a number above 0"),
        ("class,count\nBlip,many\n", "Blip has 'many'; give a number above 0"),
        ("class,n\nBlip,1\n", "Blip has None; give a number above 0"),
        ("class,count\nBlip,1\nblip,1\n", "Blip comes twice; give each class once"),
        ("class,count\nTomtee,1\n", "the model has no class Tomtee (did you mean Tomte?); it has"),
        ("class,count\nChirp,1\n", "the model has no class Chirp; it has Blip, Tomte, Zebra"),
        ("Blip,1\nTomte,1\n", "can't be read; give CSV with the columns class and count"),
        ("", "has no Blip, Tomte, Zebra_Stripes"),
        ("\0", "Zebra_Stripes"),
        ('{"Blip": true}', "Blip has True; give a number above 0"),
        ('{"Blip": NaN}', "Blip has nan; give a number above 0"),
        ('{"Blip": 1, "Blip": 2}', "Blip comes twice"),
        ('{"a\\nb": 1}', "the model has no class a?b; it has"),
        ('{"Blip": 1', "can't be read; give CSV"),
        ("[1, 2]", "can't be read; give CSV"),
        (None, "no such file; give balanced, gravity-spy, or a file"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(tmp_path, text, said):
    path = tmp_path / ("a.json" if text and text[0] in "{[" else "a.csv")
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as error:
        prior_of(path, THREE)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_trained_as_classes_came_is_under_their_frequencies():
    told = UNTOLD | {"frequencies": {"Blip": 7, "Tomte": 2, "Zebra_Stripes": 0}}
    np.testing.assert_allclose(trained_under(told, THREE), [0.7, 0.2, 0.1])
    for imbalance in ("class-weights", "over-sampling", "randomised"):
        settings = {"config": {"training": {"imbalance": imbalance}}}
        np.testing.assert_allclose(trained_under(told | settings, THREE), [1 / 3] * 3)
    np.testing.assert_allclose(trained_under({}, THREE), [1 / 3] * 3)
    with pytest.raises(ValueError, match="doesn't tell the class frequencies; train it anew"):
        trained_under(UNTOLD, THREE)


def test_training_writes_down_how_often_each_class_came(trained):
    frequencies = Predictor(trained).provenance["frequencies"]
    assert list(frequencies) == list(CLASSES[3:13])
    assert sum(frequencies.values()) == 160 and min(frequencies.values()) > 0  # 40 glitches
    assert "those where classes come equally often" in Predictor(trained).card


@pytest.fixture(scope="module")
def glitch():
    return [toy_picture("Blip", duration) for duration in (0.5, 1.0, 4.0)]


def test_windows_and_glitch_are_put_under_the_prior_once_and_nothing_else_is(glitch):
    predictor = NearestPicture()
    own = predictor.predict(glitch)
    found = predictor.with_prior("gravity-spy").predict(glitch)
    weights = np.array([TRAINING_SET[name] for name in CLASSES])

    def weighed(probabilities):
        return probabilities * weights / (probabilities * weights).sum()

    np.testing.assert_allclose(found.probabilities, weighed(own.probabilities))
    np.testing.assert_allclose(found.per_view, [weighed(row) for row in own.per_view])
    assert (own.prior, found.prior, predictor.prior.name) == ("balanced", "gravity-spy", "balanced")
    assert found.ood_score == own.ood_score and found.classes(0.95) == own.classes(0.95)
    np.testing.assert_array_equal(found.raw, own.raw)
    np.testing.assert_allclose(found.own, own.probabilities)


def test_a_model_trained_as_classes_came_is_balanced_by_their_frequencies(glitch):
    unequal = NearestPicture()
    unequal.provenance = UNTOLD | {"frequencies": dict(TRAINING_SET)}
    found = unequal.predict(glitch)
    np.testing.assert_allclose(
        found.probabilities, under(found.own, np.ones(22), prior_of("gravity-spy", CLASSES).shares)
    )
    same = unequal.with_prior("gravity-spy").predict(glitch)
    np.testing.assert_allclose(same.probabilities, found.own)


def test_the_command_line_answers_as_python_does(trained, drawn, tmp_path, capsys):
    counts = {name: 3**number for number, name in enumerate(CLASSES[3:13])}
    file = tmp_path / "stream.json"
    file.write_text(json.dumps(counts))
    (picture, *_) = sorted((drawn / "Chirp").iterdir())
    by_python = Predictor.from_checkpoint(trained, prior=file).predict(picture)
    arguments = ["classify", picture, "--checkpoint", trained, "--prior", file]
    assert run(*arguments, "--format", "json") == 0
    (item,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert item["prior"] == by_python.prior and item["prior"].startswith("stream.json (")
    assert list(item["probabilities"].values()) == pytest.approx(by_python.probabilities.tolist())
    own = Predictor(trained).predict(picture).probabilities
    by_hand = own * list(counts.values()) / (own * list(counts.values())).sum()
    np.testing.assert_allclose(by_python.probabilities, by_hand)
    assert not np.allclose(own, by_hand)
    assert run(*arguments[:-2]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "prior: balanced"


@pytest.mark.parametrize("asked", ["gravity-spy", "gravityspy", "nowhere.csv"])
def test_a_prior_that_doesnt_fit_is_one_line_and_ends_with_2(trained, asked, capsys):
    assert run("classify", "x.png", "--checkpoint", trained, "--prior", asked) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {asked}: ") and said.count("\n") == 1
