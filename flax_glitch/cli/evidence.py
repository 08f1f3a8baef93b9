"""Evidence for people: what `classify --explain` draws, and what `similar` finds and draws."""

import dataclasses
import io
import re
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from flax_glitch.arrays import Picture
from flax_glitch.cli.terminal import screen
from flax_glitch.data.layouts import pictures_below
from flax_glitch.files import printable, shown, write_whole
from flax_glitch.predict.explain import overlay, saliency
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.similar import Reference, Similar
from flax_glitch.predict.verdicts import (
    UNLIKE,
    Failure,
    Prediction,
    called,
    in_columns,
    percent,
    window_name,
)

Captioned = tuple[str, Picture]

INCHES = 2.2
"""Height and width of a picture."""


def explained(
    results: Iterable[Prediction | Failure], predictor: Predictor, folder: Path
) -> Generator[Prediction | Failure, None, None]:
    """Writes a sheet a glitch, and lets go of its pictures: of many they would fill the memory."""
    for result in results:
        if isinstance(result, Prediction):
            maps = saliency(predictor, result.pixels, result.label)
            drawn = [overlay(*pair) for pair in zip(result.pixels, maps, strict=True)]
            rows = windows_of(result, result.pixels), windows_of(result, drawn)
            write_sheet(folder / file_name(result), title_of(result), rows)
            result = dataclasses.replace(result, pixels=())
        yield result


def tell_similar(
    predictor: Predictor,
    paths: Sequence[Path],
    missing: Sequence[Failure],
    among: Path | None,
    k: int,
    out: Path | None,
) -> None:
    """Writes what glitches resemble, see `cli.similar.find_similar`."""
    reference = _below(among, predictor) if among else Reference.shipped(predictor)
    rows: list[tuple[str, ...]] = [("glitch", "class", "similar", "its class", "similarity")]
    failed = list(missing)
    for result in predictor.classify(paths, keep_pixels=True):
        if isinstance(result, Failure):
            failed.append(result)
            continue
        found = reference.nearest(result.pixels, k + len(result.inputs))
        near = [one for one in found if one.name not in result.inputs][:k]
        rows += _rows(result, near)
        if out:
            alike = [(f"{one.label}, {one.similarity:.2f}", one.picture) for one in near]
            sheet = windows_of(result, result.pixels), alike
            write_sheet(out / file_name(result), title_of(result), sheet)
    with screen() as target:
        target.write(shown("".join(f"{line}\n" for line in in_columns(rows) if rows[1:])))
    for failure in failed:
        sys.stderr.write(f"failed: {printable(f'{failure.input}: {failure.error}')}\n")
    if failed:
        sys.exit(f"error: {len(failed)} of {len(paths) + len(missing)} inputs failed")


def _below(folder: Path, predictor: Predictor) -> Reference:
    paths = sorted(pictures_below(folder))
    labels = [path.parent.name if path.parent != folder else "" for path in paths]
    return Reference.of(predictor, paths, labels)


def _rows(result: Prediction, near: Sequence[Similar]) -> Iterator[tuple[str, ...]]:
    asked = called(result), result.label
    for one in near:
        yield (*asked, one.name, one.label, f"{one.similarity:.3f}")
        asked = "", ""


def write_sheet(path: Path, title: str, rows: Sequence[Sequence[Captioned]]) -> None:
    """Writes rows of pictures, each below its caption, as PNG."""
    width = max(map(len, rows))
    size = (INCHES * max(width, 2), (INCHES + 0.3) * len(rows) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    grid = figure.subplots(len(rows), width, squeeze=False)
    for places, row in zip(grid, rows, strict=True):
        for axes in places:
            axes.axis("off")
        for axes, (caption, picture) in zip(places, row, strict=False):
            axes.imshow(picture, aspect="auto", interpolation="bilinear")
            axes.set_title(caption, fontsize=9, parse_math=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())


def windows_of(result: Prediction, pictures: Sequence[Picture]) -> list[Captioned]:
    """Returns pictures, one for each window of a glitch, with the window's length."""
    names = [window_name(duration) for duration in result.durations]
    captions = ["window unknown" if name == "unknown" else f"{name} s" for name in names]
    return list(zip(captions, pictures, strict=True))


def title_of(result: Prediction) -> str:
    """Returns a verdict in a line."""
    unlike = f" ({UNLIKE})" if result.unlike else ""
    return f"{called(result)}: {result.label}, {percent(result.confidence)}{unlike}"


def file_name(result: Prediction) -> str:
    """Returns the name of a glitch's sheet: by detector and id, or by its first input."""
    known = result.gravityspy_id and f"{result.ifo}_{result.gravityspy_id}"
    name = known or str(Path(result.inputs[0]).with_suffix(""))
    return re.sub(r"[^\w.-]+", "_", name)[-200:] + ".png"
