"""The commands as people type them."""

import csv
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import pytest
from gwosc_server import RATE, write_strain
from PIL import Image
from toy_pictures import toy_simulation

import flax_glitch
from flax_glitch.checkpoint import Calibration, add_calibration, read_description
from flax_glitch.classes import CLASSES
from flax_glitch.cli import COMMANDS, main
from flax_glitch.cli.terminal import EXTRAS
from flax_glitch.notes import LOG


def run(*arguments):
    """Runs a command in this process; returns its exit code, 0 if it just ends."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture
def chirps(drawn, tmp_path):
    """A folder of two drawn glitches, four windows each."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in sorted((drawn / "Chirp").iterdir())[:8]:
        shutil.copy(path, folder)
    return folder


def test_classify_prints_an_object_a_picture_and_a_verdict_a_glitch(trained, chirps, capsys):
    assert run("classify", chirps, "--checkpoint", trained, "--format", "json") == 0
    items = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(item["input"] for item in items) == sorted(map(str, chirps.iterdir()))
    verdicts = {}
    for item in items:
        assert item["views"] == ["0.5", "1.0", "2.0", "4.0"]
        verdicts.setdefault(item["gravityspy_id"], set()).add((item["class"], item["confidence"]))
    assert len(verdicts) == 2
    assert all(len(verdict) == 1 for verdict in verdicts.values())


def test_bad_pictures_are_named_and_the_others_answered_all_the_same(trained, chirps, capsys):
    (chirps / "empty.png").touch()
    code = run("classify", chirps, "no such file.png", "--checkpoint", trained, "--format", "json")
    assert code == "error: 2 of 10 inputs failed"  # sys.exit prints it and ends with 1
    items = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {item["input"] for item in items if "error" in item} == {
        str(chirps / "empty.png"),
        "no such file.png",
    }
    assert sum("class" in item for item in items) == 8


def test_classify_writes_a_csv(trained, chirps, tmp_path, capsys):
    out = tmp_path / "verdicts.csv"
    assert run("classify", chirps, "--checkpoint", trained, "--format", "csv", "--out", out) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["class"] for row in rows} <= set(CLASSES)
    assert capsys.readouterr().out == f"wrote 8 rows to {out}\n"


def test_the_table_has_a_line_a_glitch_and_their_prior(trained, chirps, capsys):
    assert run("classify", chirps, "--checkpoint", trained) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 + 1


def test_coverage_gives_each_glitch_a_set_of_classes(trained, chirps, tmp_path, capsys):
    run_folder = tmp_path / "run"
    shutil.copytree(trained, run_folder, ignore=shutil.ignore_patterns("training"))
    scores = tuple(np.linspace(0, 1, 101).tolist())
    add_calibration(run_folder, (Calibration(1.0, -100.0, scores, 99),) * 4, "")
    arguments = ["classify", chirps, "--checkpoint", run_folder, "--coverage", "0.95"]
    assert run(*arguments) == 0
    header, *_, note, _ = capsys.readouterr().out.splitlines()
    assert "95% set" in header and note == "* unlike anything in training"
    assert run(*arguments, "--format", "json") == 0
    for item in map(json.loads, capsys.readouterr().out.splitlines()):
        kept = [name for name, p in item["probabilities"].items() if 1 - p <= 0.96]
        assert set(item["set"]) == {item["class"], *kept}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "x.png", "--checkpoint", "nowhere"], "nowhere: no such folder or model"),
        (["classify", "x.png", "--coverage", "0.9"], "the model isn't calibrated"),
        (["evaluate", "--source", "nowhere"], "nowhere: no such file or folder"),
        (["prepare", "--source", "nowhere"], "nowhere: no such file or folder"),
        (["release", "nowhere", "--out", "out"], "nowhere: no such folder or model"),
    ],
)
def test_failures_are_one_line(arguments, message, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "--checkpoint" not in arguments and arguments[0] in ("classify", "evaluate"):
        arguments = [*arguments, "--checkpoint", trained]
    code = run(*arguments)
    assert str(code).startswith("error: ") and message in code and "\n" not in code


def test_evaluate_writes_its_report_and_tells_what_was_trained_on(
    trained, drawn, tmp_path, cache, capsys
):
    out = tmp_path / "report"
    arguments = ["--source", drawn, "--checkpoint", trained, "--out", out, "--cache", cache]
    assert run("evaluate", *arguments, "--split", "all") == 0
    said = capsys.readouterr()
    assert "of these 60 glitches were trained on" in said.err
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["per_image"]["n"] == 240 and metrics["per_glitch"]["n"] == 60
    assert run("evaluate", *arguments) == 0
    assert "were trained on" not in capsys.readouterr().err


def test_evaluate_takes_the_split_of_the_models_training(
    trained, drawn, tmp_path, cache, monkeypatch
):
    other = tmp_path / "other"
    shutil.copytree(trained, other, ignore=shutil.ignore_patterns("training"))
    text = (other / "model.json").read_text()
    (other / "model.json").write_text(text.replace('"split_seed": 0', '"split_seed": 7'))
    seeds = []

    def prepared(source, size, width, *, seed, cache):
        seeds.append(seed)
        raise ValueError("enough")

    monkeypatch.setattr("flax_glitch.data.records.prepare", prepared)
    arguments = ["--source", drawn, "--checkpoint", other, "--out", tmp_path, "--cache", cache]
    run("evaluate", *arguments)
    run("evaluate", *arguments, "--seed", "3")
    assert seeds == [7, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify"], "no input: name pictures or folders"),
        (["classify", "x.png", "--top-k", "0"], "--top-k 0: give 1 or more"),
        (["classify", "x.png", "--coverage", "0"], "--coverage 0: give a share between 0 and 1"),
        (["classify", "x.png", "--coverage", "1"], "--coverage 1: give a share between 0 and 1"),
        (["classify", "x.png", "--coverage", "much"], "--coverage"),
        (["classify", "--bogus"], "--bogus"),
        (["classify", "x.png", "--format", "xml"], "xml"),
        (["evaluate"], "--source"),
        (["simulate", "--out", "x"], "--per-class"),
        (["simulate", "--out", "x", "--per-class", "0"], "0 glitches a class"),
        (["simulate", "--out", "x", "--per-class", "1", "--seed", "-1"], "--seed -1: give 0 to"),
        (["prepare", "--seed", "-1"], "--seed -1: give 0 to"),
        (["evaluate", "--source", "x", "--seed", "-1"], "--seed -1: give 0 to"),
        (["release", "run"], "--out"),
        (["bogus"], "bogus: no such command; there are app, classify, "),
        (["clasify", "x.png"], "clasify: no such command; did you mean classify? There are"),
        (["-q", "classify", "x.png", "--verbose"], "--quiet and --verbose: give one of them"),
        (["classify", "x.png", "--topk", "2"], "--topk, 2 (did you mean --top-k? --help lists"),
        (["evaluate"], "give --source too (--help lists the options)"),
        (["--completion", "cmd"], "--completion cmd: give one of bash, zsh, fish"),
    ],
)
def test_wrong_arguments_are_one_line_and_end_with_2(arguments, message, capsys):
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["-q"]])
def test_help_names_each_command_and_what_it_does_and_comes_unasked_too(arguments, capsys):
    assert run(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, purpose in COMMANDS.items():
        assert f"  {name:10}{purpose}" in lines


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name, capsys):
    assert run(name, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: flax-glitch {name} ") and "--help" in said


@pytest.mark.parametrize(
    "arguments", [[], *([name] for name in COMMANDS if name not in ("draw", "train"))]
)
def test_help_and_the_package_itself_import_nothing_that_takes_long(arguments):
    script = f"""
import sys, flax_glitch
from flax_glitch.cli import main
try:
    main({[*arguments, "--help"]})
except SystemExit as end:
    assert not end.code
slow = {{"jax", "flax", "sklearn", "scipy", "PIL", "h5py", "tensorflow_datasets"}}
sys.exit(", ".join(slow & {{*sys.modules}}) or None)
"""
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "usage: flax-glitch" in ended.stdout


def test_wrong_arguments_end_with_2_and_success_with_0(trained, chirps):
    def code(*arguments):
        command = [sys.executable, "-m", "flax_glitch", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=120, env=os.environ).returncode

    assert code("classify", "--no-such-option") == 2
    assert code("classify", "--help") == 0


def test_simulate_draws_a_set_that_prepare_takes_as_a_source(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("flax_glitch.simulate.catalogue.simulate", toy_simulation)
    monkeypatch.setattr("flax_glitch.cli.training.keep_compiled", lambda: None)
    out = tmp_path / "set"
    arguments = ["--out", out, "--per-class", "2", "--seed", "1", "--classes", "Blip", "Chirp"]
    assert run("simulate", *arguments) == 0
    assert f"{out}: 2 simulated glitches a class, seed 1" in capsys.readouterr().out
    assert run("prepare", "--source", out, "--size", "32", "--cache", cache) == 0
    assert "simulated layout, pictures: 8 train, 0 validation, 8 test" in capsys.readouterr().out


def test_failures_are_said_on_stderr_and_verdicts_on_stdout(trained, chirps, capsys):
    (chirps / "empty.png").touch()
    code = run("classify", chirps, "--checkpoint", trained)
    out, err = capsys.readouterr()
    assert code == "error: 1 of 9 inputs failed"
    assert "empty.png" not in out and err.startswith(f"failed: {chirps / 'empty.png'}: ")
    assert len(err.splitlines()) == 1  # nor a bar: it is no terminal


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--coverage", "x"], "error: --coverage 'x': give a number (--help"),
        (["--sample-rate", "4k"], "error: --sample-rate '4k': give a number (--help"),
        (["--top-k", "2.5"], "error: --top-k '2.5': give a whole number (--help"),
    ],
)
def test_a_number_that_is_none_is_said_in_words_of_people(arguments, said, capsys):
    assert run("classify", *arguments) == 2
    assert capsys.readouterr().err.startswith(said)


def test_pictures_of_one_glitch_may_be_called_anything(trained, chirps, tmp_path, capsys):
    named = sorted(chirps.iterdir())[:4]
    assert run("classify", *named, "--checkpoint", trained, "--format", "json") == 0
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    others = [tmp_path / f"{number}-af3e.png" for number in range(4)]
    for path, other in zip(named, others, strict=True):
        shutil.copy(path, other)
    options = ("--checkpoint", trained, "--format", "json", "--one-glitch")
    assert run("classify", *others, *options) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["geometry"] for item in found] == ["kaggle"] * 4
    assert found[0]["probabilities"] == pytest.approx(expected[0]["probabilities"], abs=1e-4)
    for number, path in enumerate(sorted(chirps.iterdir())):
        path.rename(chirps / f"{number}-5ee1.png")
    assert run("classify", chirps, *options) == "error: 8 of 8 inputs failed"
    assert "one of 8 views of its glitch" in capsys.readouterr().out
    assert run("classify", "--one-glitch", "--gps", "5", "--detector", "H1") == 2


def python(code, *arguments, **options):
    """Runs Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def test_the_version_comes_with_those_beneath_and_nothing_slow_is_imported():
    code = """
import sys
from flax_glitch.cli import main
main(["--version"])
sys.exit(", ".join({"jax", "flax", "numpy", "pandas"} & {*sys.modules}) or None)
"""
    ended = python(code)
    assert (ended.returncode, ended.stderr) == (0, "")
    jax, flax, own = version("jax"), version("flax"), version("flax-glitch")
    beneath = f"(Python {platform.python_version()}, JAX {jax}, Flax {flax})"
    assert ended.stdout == f"flax-glitch {own} {beneath}\n"
    assert flax_glitch.__version__ == own


@pytest.mark.parametrize("quiet", [["-q"], ["--quiet"]])
def test_quiet_says_neither_notes_nor_bars_before_and_after_the_commands_name(
    quiet, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("flax_glitch.simulate.catalogue.simulate", toy_simulation)
    monkeypatch.setattr("flax_glitch.cli.training.keep_compiled", lambda: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    asked = ["simulate", "--per-class", "1", "--classes", "Blip", "--out"]
    for number, words in enumerate(([*quiet, *asked], [asked[0], *quiet, *asked[1:]], asked)):
        assert run(*words, tmp_path / str(number)) == 0
        out, err = capsys.readouterr()
        assert out.endswith("1 simulated glitches a class, seed 0\n")
        assert ("Simulating" in err) is (words == asked)
    drawn = tmp_path / "0" / "Blip"
    shutil.copytree(drawn, tmp_path / "named" / "Bleep")
    asked = ["prepare", "--source", tmp_path / "named", "--size", "32", "--cache", tmp_path]
    assert run(*asked) == 0
    assert "note: " in capsys.readouterr().err
    assert run(*quiet, *asked) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verbose", ["-v", "--verbose"])
def test_verbose_tells_of_model_device_files_and_when(verbose, trained, chirps, capsys):
    sha256 = read_description(trained).sha256
    assert run("classify", chirps, verbose, "--checkpoint", trained) == 0
    said = capsys.readouterr().err.splitlines()
    assert all(re.match(r"\[\d+\.\d s\] ", line) for line in said)
    model = f"model small of {trained}, sha256 {sha256}, on {jax.devices()[0]}"
    for told in (model, "pictures to look at: 8"):
        assert any(line.endswith(f" s] {told}") for line in said)


def test_verbose_shows_where_it_failed_beside_the_one_line(chirps, capsys):
    for option, expected in (("-v", True), ("-q", False)):
        code = run(option, "classify", chirps, "--checkpoint", "nowhere")
        assert code.startswith("error: nowhere: no such folder or model") and "\n" not in code
        assert ("Traceback" in capsys.readouterr().err) is expected
    assert LOG.handlers == [] and LOG.propagate and LOG.level == logging.NOTSET


COMPLETIONS = [
    (["cl"], {"classify"}),
    (["classify", "--ch"], {"--checkpoint", "--channel"}),
    (["train", "--model", "vgg"], {"vgg16", "vgg16-rows"}),
    (["app", "--sh"], {"--share"}),
    (["classify", "--pri"], {"--prior"}),
    (["classify", "--format", "p"], {"parquet"}),
    (["draw", "--verb"], {"--verbose"}),
    (["--vers"], {"--version"}),
]


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_bash_completes_commands_options_and_values_and_else_files(tmp_path):
    script = tmp_path / "completion"
    command = [sys.executable, "-m", "flax_glitch", "--completion", "bash"]
    script.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    asked = f"source {script}; complete -p flax-glitch\n"
    for typed, _ in COMPLETIONS:
        asked += f"COMP_WORDS=(flax-glitch {' '.join(typed)}); COMP_CWORD={len(typed)}\n"
        asked += 'COMPREPLY=(); _tyro_flax_glitch; echo "${COMPREPLY[@]}"\n'
    ended = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=120)
    registered, *answers = ended.stdout.splitlines()
    assert registered == "complete -o default -F _tyro_flax_glitch flax-glitch"
    for (typed, expected), answer in zip(COMPLETIONS, answers, strict=True):
        assert {*answer.split()} == expected, typed


BLOCKED = "import sys; sys.modules |= dict.fromkeys({}); "
OPTIONAL = ("array_record", "grain", "tensorboardX", "tensorflow_datasets", "pyarrow", "gwpy")


@pytest.fixture
def core(tmp_path):
    """Runs a command without the packages of the extras; returns exit code, stdout and stderr."""

    def run_core(*arguments):
        code = BLOCKED.format(OPTIONAL) + "from flax_glitch.cli import main; main()"
        ended = python(code, *arguments, cwd=tmp_path)
        return ended.returncode, ended.stdout, ended.stderr

    return run_core


def test_a_model_is_used_and_handed_on_without_the_packages_of_the_extras(core, trained, chirps):
    for file in ("verdicts.csv", "verdicts.json"):
        asked = ["classify", chirps, "--checkpoint", trained, "--out", file]
        assert core(*asked) == (0, f"wrote 8 rows to {file}\n", "")
    assert core("release", trained, "--out", "released")[::2] == (0, "")
    assert core("compare", trained)[2].startswith(f"error: {trained}: not evaluated yet")


def test_pictures_are_simulated_and_drawn_without_the_packages_of_the_extras(core, tmp_path):
    noise = 1e-22 * np.random.default_rng(5).standard_normal(32 * RATE)
    write_strain(tmp_path / "H-H1_MADE_4KHZ_R1-1000-32.hdf5", noise, 1000)
    (tmp_path / "table.csv").write_text("gps,detector\n1016,H1\n")
    draw = ["draw", "--triggers", "table.csv", "--strain", ".", "--out", "drawn"]
    assert core(*draw) == (0, "1 glitches are drawn in drawn\n", "")
    simulate = ["simulate", "--out", "made", "--per-class", "1", "--classes", "Blip"]
    assert core(*simulate)[::2] == (0, "")


def test_the_page_and_the_predictor_load_without_the_packages_of_the_extras(trained):
    code = "import flax_glitch.app.main, flax_glitch; flax_glitch.Predictor(sys.argv[1])"
    ended = python(BLOCKED.format(OPTIONAL) + code, trained)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "--source", "."], "train"),
        (["train", "--resume"], "train"),
        (["evaluate", "--source", "."], "train"),
        (["prepare", "--source", "."], "train"),
        (["generate", "--source", ".", "--out", "made", "--per-class", "1"], "train"),
        (["classify", "x.png", "--out", "x.parquet"], "tables"),
    ],
)
def test_what_needs_an_extra_says_how_to_install_it_in_one_line(core, arguments, extra, tmp_path):
    (tmp_path / "checkpoints" / "run").mkdir(parents=True)
    (tmp_path / "checkpoints" / "run" / "config.json").write_text("{}")
    what = {"train": "training and evaluating need", "tables": "Parquet needs"}[extra]
    cure = f"pip install 'flax-glitch[{extra}]'"
    said = f"error: {what} packages that are not installed: {cure}\n"
    assert core(*arguments) == (1, "", said)


def test_a_package_of_no_extra_that_is_missing_is_no_user_s_fault(monkeypatch):
    def fail(given, program):
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr("flax_glitch.cli.train.train_model", fail)
    with pytest.raises(ModuleNotFoundError):
        run("train")


def test_the_packages_of_the_extras_are_those_of_the_project():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    wanted = tomllib.loads(text)["project"]["optional-dependencies"]
    for extra, (_, packages) in EXTRAS.items():
        required = {re.split(r"[<>=]", line)[0] for line in wanted[extra]}
        assert {name.replace("_", "-") for name in packages} == required


def test_the_script_of_the_app_names_itself_in_its_help():
    script = Path(__file__).parents[1] / "app_gradio.py"
    command = [sys.executable, str(script), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert said.startswith("usage: python app_gradio.py [-h]")
    assert "python app_gradio.py --share" in said and "flax-glitch app" not in said


def test_explain_draws_a_sheet_a_glitch_and_changes_no_answer(trained, chirps, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    for folder in ("", "other"):
        shutil.copy(min(chirps.iterdir()), tmp_path / folder / "a b.png")
    asked = ["classify", chirps, tmp_path / "a b.png", tmp_path / "other" / "a b.png"]
    asked += ["--checkpoint", trained]
    assert run(*asked) == 0
    bare = capsys.readouterr().out
    assert run(*asked, "--explain", tmp_path / "sheets") == 0
    assert capsys.readouterr().out == bare
    sheets = sorted((tmp_path / "sheets").iterdir())
    assert len(sheets) == 4
    sizes = set()
    for path in sheets:
        with Image.open(path) as sheet:
            sizes.add(sheet.size)
    assert len(sizes) == 2  # of four windows, and of one


def test_similar_tells_what_is_most_alike_among_ones_own_and_draws_it(
    trained, chirps, tmp_path, capsys
):
    first, *_ = pictures = sorted(chirps.iterdir())
    asked = ["similar", *pictures[:4], tmp_path / "none.png", "--among", chirps]
    assert run(*asked, "--checkpoint", trained, "-k", 1, "--out", tmp_path / "out") == (
        "error: 1 of 5 inputs failed"
    )
    said = capsys.readouterr()
    header, row = said.out.splitlines()
    assert header.split() == ["glitch", "class", "similar", "its", "class", "similarity"]
    assert row.split()[0] == first.name.split("_")[1]
    assert row.split()[2] in map(str, pictures[4:])
    assert "none.png" in said.err
    (sheet,) = (tmp_path / "out").iterdir()
    assert sheet.name == f"{'_'.join(first.name.split('_')[:2])}.png"


def test_similar_has_a_set_of_its_own(trained, chirps, capsys):
    assert run("similar", min(chirps.iterdir()), "--checkpoint", trained) == 0
    assert [line.split()[-3] for line in capsys.readouterr().out.splitlines()[2:]]
    assert run("similar") == 2
    assert run("similar", chirps, "-k", 0) == 2
    assert "-k 0: give 1 or more" in capsys.readouterr().err
