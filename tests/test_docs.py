"""README, docs/ and the notebook: short, true to the code, and links that lead somewhere."""

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from flax_glitch.box import SAMPLES
from flax_glitch.cli import COMMANDS
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.verdicts import percent

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
PAGES += [ROOT / "checkpoints" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "checkpoints").glob("[df]*/MODEL_CARD.md"))
COMMAND = re.compile(
    r"(?:\$ )?(?:flax-glitch|python (?:benchmarks/)?(?!make_strain)(\w+)\.py)((?: +[^\s|#]+)*)"
)
OWN = {"--help", "--version", "--completion", "--tyro-print-completion", "-q", "-v"}


def text_of(page):
    """Lines that go on are one."""
    return page.read_text(encoding="utf-8").replace("\\\n", "")


def commands(text):
    """The words of each command line of ours that stands as code."""
    code = re.findall(r"^```(?:sh|console)\n(.*?)^```|`([^`\n]+)`", text, re.DOTALL | re.MULTILINE)
    for line in "\n".join(block or inline for block, inline in code).splitlines():
        if match := COMMAND.match(re.sub(r"'[^']*'|\"[^\"]*\"", "QUOTED", line)):
            yield match[1] or "", match[2].split()


@lru_cache
def options(command):
    """The options that a command's help names."""
    asked = [sys.executable, "-m", "flax_glitch", command, "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return OWN | set(re.findall(r"--[a-z][a-z-]*|(?<![\w-])-[hk]\b", told))


def faults(script, words):
    """What is wrong with a command line, of flax-glitch if there is no script."""
    named = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    as_command = {"train_flax": "train", "app_gradio": "app"}
    if script and script not in as_command:
        source = ROOT / "benchmarks" / f"{script}.py"
        known = source.read_text(encoding="utf-8") if source.is_file() else ""
        return [script] * (not known) + [name for name in sorted(named) if name not in known]
    if not script and not words:
        return []
    command = as_command.get(script) or next((w for w in words if w[0] != "-"), "")
    if (not script and words[0] in OWN) or command == "COMMAND":
        return sorted(named - OWN)
    return sorted(named - options(command)) if command in COMMANDS else [command]


def test_readme_can_be_read_in_one_go():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_points_to_exist(page):
    text = re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_pictures_say_what_they_show():
    bare = [page.name for page in PAGES for said in re.findall(r"!\[([^]]*)\]", text_of(page))
            if len(said) < 20]  # fmt: skip
    assert bare == []


@pytest.mark.parametrize(
    "page", [p for p in PAGES if list(commands(text_of(p)))], ids=lambda p: p.name
)
def test_commands_in_a_page_are_ours_and_take_the_options_given(page):
    wrong = [(words, found) for script, words in commands(text_of(page))
             if (found := faults(script, words))]  # fmt: skip
    assert wrong == []


def test_a_command_that_isnt_ours_is_seen():
    wrong = "```sh\nflax-glitch clasify x.png --top-k 3\nflax-glitch classify x.png --topk 3\n```"
    assert [faults(*one) for one in commands(wrong)] == [["clasify"], ["--topk"]]
    assert [faults(*one) for one in commands("`python benchmarks/nothing.py --out x`")] == [
        ["nothing", "--out"]
    ]


def test_readmes_figures_are_those_of_the_model_cards():
    row = re.compile(r"\| all \| (\d+) \| (.+?) \| (.+?) \| (.+?) \|")
    new = re.compile(r"\| new \| (\d+) \| (.+?) \|")
    columns = []
    for name in ("default", "fast"):
        card = (ROOT / "checkpoints" / name / "MODEL_CARD.md").read_text(encoding="utf-8")
        report, folds = card.split("### Folds over tune")
        number, accuracy, recall, error = row.search(report).groups()
        folded, by_folds, _, _ = row.search(folds).groups()
        unseen, of_unseen = new.search(report).groups()
        assert (number, folded, unseen) == ("276", "423", "130")
        figures = by_folds, accuracy, of_unseen, recall, error
        columns.append([_rounded(one) for one in figures])
    table = README[README.index("| Per cent |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table]
    assert [line[1:] for line in cells] == [list(both) for both in zip(*columns, strict=True)]
    assert all(number in README for number in ("276", "423", "130"))


def _rounded(figure):
    """`89.13 (85.5 to 92.8)` with one digit less."""
    value, interval = figure.split(" ", 1)
    return f"{float(value):.1f} {interval}"


def test_readme_shows_what_the_model_says_of_the_samples():
    shown = re.findall(r"^(\w{10})  0\.5 .*?  (\w+) +(\S+%)", README, re.MULTILINE)
    said = Predictor("default").classify(sorted(SAMPLES.rglob("*.png")))
    told = {one.gravityspy_id: (one.label, percent(one.confidence)) for one in said}
    assert len(shown) == len(told) == 3
    assert {glitch: tuple(rest) for glitch, *rest in shown} == told


def test_the_notebook_is_kept_without_its_output():
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.slow
def test_the_site_is_built_without_a_broken_link_and_asks_nobody_else(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True)
    foreign = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"?https?:|<link[^>]+stylesheet[^>]+https?:"
    )
    pages = list(tmp_path.rglob("*.html"))
    assert {"tour.html", "python.html"} <= {page.name for page in pages}
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert not foreign.search(html) and "jupyter-mathjax" not in html, page.name
