"""The predictor: a checkpoint made ready, pictures in, verdicts out."""

import copy
import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float
from PIL import Image
from scipy.special import softmax

from flax_glitch.arrays import Mask, Picture, Seen
from flax_glitch.checkpoint import find_checkpoint, load_model, read_card
from flax_glitch.classes import DURATIONS, OUTLIER, named
from flax_glitch.data.layouts import parse_name
from flax_glitch.data.pictures import (
    UNNAMED,
    LoadedPicture,
    PictureError,
    PictureSource,
    load_picture,
    resize,
)
from flax_glitch.data.table import places
from flax_glitch.events.triggers import event_name, stable_id
from flax_glitch.models.classifier import make_forward
from flax_glitch.models.systems import MODELS
from flax_glitch.notes import LOG
from flax_glitch.predict.calibration import apart, temperature_of, unlikeness
from flax_glitch.predict.prior import Shares, prior_of, trained_under, under
from flax_glitch.predict.verdicts import Failure, Prediction
from flax_glitch.strain.files import Series, Strain, StrainError
from flax_glitch.strain.picture import Scan, colour_distance, scan

SIZES = (1, 4, 16)
"""Numbers of pictures that are predicted together; others are padded to the next one."""

PictureLike = PictureSource | str | LoadedPicture
"""A picture: its path, its file, open or as bytes, its pixels, or already loaded."""


class _View(NamedTuple):
    """A picture at the model's size: whole ones would fill the memory."""

    name: str
    ifo: str | None
    gravityspy_id: str | None
    duration: float | None
    pixels: Picture
    geometry: str
    gps: float | None = None
    q: float | None = None
    channel: str | None = None
    flags: tuple[str, ...] | None = None


class Predictor:
    """A trained model with its preprocessing; without a folder, the model in the box.

    Attributes:
        folder: where it was loaded from.
        name: name of the run that trained it.
        sha256: hash of its arrays.
        preprocessing: how pictures become its input.
        classes: the classes that it names, in the order of probabilities.
        calibration: what validation says of its scores, for one to four windows; empty if nothing.
        card: its model card, Markdown.
        split_seed: seed of the split by glitch that it was trained with.
        graphdef: its structure.
        state: its arrays.
        outputs: what its scores are of, in order: its classes and, if it learned them, outliers.
        merged: whether it judges the windows of a glitch together.
        trained_on: what it was trained on, in a sentence.
        provenance: where it comes from, see `Description`.
        prior: how often each class is taken to come.
    """

    def __init__(self, folder: Path | str | None = None, prior: str | Path | None = None):
        self.folder = find_checkpoint(folder)
        model, said = load_model(self.folder)
        self.name, self.sha256, self.classes = said.name, said.sha256, named(said.classes)
        self.preprocessing, self.calibration = said.preprocessing, said.calibration
        self.merged = MODELS[said.model.name].merged
        self.provenance: Mapping[str, Any] = said.provenance
        self.prior = prior_of(prior, self.classes)
        data = said.provenance.get("config", {}).get("data", {})
        self.split_seed: int = data.get("split_seed", 0)
        self.trained_on: str = said.provenance.get("trained_on", "See the model card.")
        self.card = read_card(self.folder)
        self.graphdef, self.state = nnx.split(model)
        self._forward = make_forward(self.graphdef, self.preprocessing)
        self.outputs = said.classes
        self._outlier = said.classes.index(OUTLIER) if OUTLIER in said.classes else None
        device = jax.devices()[0]
        LOG.debug(f"model {self.name} of {self.folder}, sha256 {self.sha256}, on {device}")

    @classmethod
    def from_checkpoint(
        cls, folder: Path | str | None = None, prior: str | Path | None = None
    ) -> "Predictor":
        """Returns the predictor of a checkpoint folder.

        Args:
            folder: of the checkpoint, or the name of one in the box; see `find_checkpoint`.
            prior: how often each class is taken to come: "balanced", "gravity-spy", or a file with
                the count of each (see `prior_of`); `config.PRIOR` if not given.

        Raises:
            CheckpointError: if the folder is absent, foreign or damaged.
            UsageError: if there is no such prior, or it doesn't fit the model's classes.
        """
        return cls(folder, prior)

    def with_prior(self, prior: str | Path | None) -> "Predictor":
        """Returns a predictor with the same model and another prior, see `from_checkpoint`."""
        other = copy.copy(self)
        other.prior = prior_of(prior, self.classes)
        return other

    @cached_property
    def trained_under(self) -> Shares:
        """The class frequencies that its own probabilities are under, see `trained_under`."""
        return trained_under(self.provenance, self.classes)

    @property
    def identity(self) -> dict[str, str]:
        """Name and sha256, which answers carry."""
        return {"name": self.name, "sha256": self.sha256}

    def predict(
        self,
        pictures: PictureLike | Sequence[PictureLike] | Iterator[PictureLike] | Strain | Series,
        gps: float | str | datetime | None = None,
        detector: str | None = None,
    ) -> Prediction:
        """Returns the verdict on one glitch from its picture, its one to four windows, or strain.

        Args:
            pictures: one glitch's; or strain, which may be GWpy's `TimeSeries`.
            gps: the event's GPS time in seconds, of strain.
            detector: such as H1, of strain that doesn't tell.

        Raises:
            PictureError: naming the picture that can't be read.
            StrainError: if the strain doesn't hold the event or enough around it.
        """
        if isinstance(pictures, Strain | Series):
            if gps is None:
                raise StrainError("strain is given without gps; give the event's GPS time too")
            found = scan(pictures, gps, detector)
            return next(self._predict([self._views(found, stable_id(found.detector, found.gps))]))
        given = _several(pictures)
        if not 1 <= len(given) <= len(DURATIONS):
            raise PictureError(f"{len(given)} pictures given: pass one to four, of one glitch")
        views = [self._load(picture) for picture in given]
        ids = {(view.ifo, view.gravityspy_id) for view in views if view.gravityspy_id}
        if len(ids) > 1:
            raise PictureError(f"{views[0].name}: shown with pictures of other glitches; give one")
        for number, view in enumerate(views):
            if repeats := _repeats(view, views[:number]):
                raise PictureError(f"{view.name}: {repeats}; give each once")
        return next(self._predict([views]))

    def classify(
        self,
        paths: Sequence[Path],
        names: Sequence[str] | None = None,
        *,
        one_glitch: bool = False,
        keep_pixels: bool = False,
    ) -> Iterator[Prediction | Failure]:
        """Returns a verdict a glitch and a failure a bad picture, of many picture files.

        Pictures whose names, by default their paths, share detector and id are windows of one
        glitch; so are all of them with `one_glitch`. Verdicts hold their pictures if asked to.
        """
        groups: dict[tuple[str, ...], list[tuple[Path, str]]] = {}
        for path, name in zip(paths, names or [str(path) for path in paths], strict=True):
            parsed = parse_name(Path(name).name)
            glitch = () if one_glitch else parsed[:2] if parsed else (str(path),)
            groups.setdefault(glitch, []).append((path, name))
        glitches = chain.from_iterable(map(self._load_glitch, groups.values()))
        return self._in_batches(glitches, keep_pixels)

    def classify_scans(
        self,
        scans: Iterable[Scan | Failure],
        ids: Iterable[str | None] = repeat(None),
        *,
        keep_pixels: bool = False,
    ) -> Iterator[Prediction | Failure]:
        """Returns a verdict a scan, in order but for failures, which are passed on at once.

        Each scan and failure has an id, that of its glitch. Verdicts hold their pictures if asked
        to.
        """
        glitches = (
            scan if isinstance(scan, Failure) else self._views(scan, id)
            for scan, id in zip(scans, ids, strict=False)
        )
        return self._in_batches(glitches, keep_pixels)

    def seen(self, picture: PictureLike) -> np.ndarray:
        """Returns a picture as the network sees it, cropped and resized, (size, size, 3), 0 to 255.

        Raises:
            PictureError: if the picture can't be read.
        """
        return self._load(picture).pixels

    def scores(self, glitches: Sequence[Sequence[Picture]]) -> Float[np.ndarray, "glitch class"]:
        """Returns the logits of glitches by their pictures at the model's size, as in `raw`.

        To a model that judges windows together they are the first ones.
        """
        counts = [1 if self.merged else len(pictures) for pictures in glitches]
        units: list[dict[int, Picture]] = []
        for pictures in glitches:
            units += [dict(enumerate(pictures))] if self.merged else [{0: p} for p in pictures]
        logits = self._logits(units)
        each = [np.mean(list(islice(logits, count)), axis=0) for count in counts]
        return apart(np.stack(each), self.classes)[0]

    def forward(self, views: Seen, mask: Mask) -> jax.Array:
        """Returns the logits (batch, view, output) of pictures at the model's size.

        They are those of its classes and then, if it learned outliers, theirs; `calibration.apart`
        tells the two apart.
        """
        logits = self._forward((self.state,), views, mask)
        if self._outlier is None:
            return logits
        last = logits[..., self._outlier, None]
        return jnp.concatenate([jnp.delete(logits, self._outlier, axis=-1), last], axis=-1)

    def _load(self, picture: PictureLike, name: str | None = None) -> _View:
        if isinstance(picture, str):
            picture = Path(picture)
        name = name or _name_of(picture)
        ifo, gravityspy_id, duration = parse_name(Path(name).name) or (None, None, None)
        loaded = picture if isinstance(picture, LoadedPicture) else load_picture(picture, name)
        pixels = resize(loaded.pixels, *self.preprocessing.shape)
        return _View(name, ifo, gravityspy_id, duration, pixels, loaded.geometry)

    def _load_glitch(self, group: Sequence[tuple[Path, str]]) -> Iterator[Failure | list[_View]]:
        """Yields failures, then the views of a glitch; of more than four none is known to be it."""
        views: list[_View] = []
        for path, name in group:
            try:
                view = self._load(path, name)
            except PictureError as error:
                yield Failure(name, str(error).removeprefix(f"{name}: "))
                continue
            if repeats := _repeats(view, views):
                yield Failure(name, repeats)
            else:
                views.append(view)
        if len(views) > len(DURATIONS):
            listed = ", ".join(Path(view.name).name for view in views)
            said = f"is one of {len(views)} views of its glitch ({listed}); give one to four"
            yield from (Failure(view.name, said) for view in views)
        elif views:
            yield sorted(views, key=lambda view: view.duration or np.inf)

    def _views(self, scan: Scan, id: str | None) -> list[_View]:
        name, shape = event_name(scan.detector, scan.gps), self.preprocessing.shape
        strain = scan.gps, scan.q, scan.channel, scan.flags
        return [
            _View(name, scan.detector, id, window, resize(p, *shape), "strain", *strain)
            for window, p in scan.views.items()
        ]

    def _in_batches(
        self, glitches: Iterable[Failure | list[_View]], keep_pixels: bool
    ) -> Iterator[Prediction | Failure]:
        """Yields failures at once, and verdicts whenever there are enough pictures for a batch."""
        left_out: dict[str, Any] = {} if keep_pixels else {"pixels": ()}
        waiting: list[list[_View]] = []
        for glitch in glitches:
            if isinstance(glitch, Failure):
                yield glitch
                continue
            waiting.append(glitch)
            if sum(map(len, waiting)) >= SIZES[-1]:
                yield from self._predict(waiting, **left_out)
                waiting = []
        yield from self._predict(waiting, **left_out)

    def _predict(self, glitches: Sequence[Sequence[_View]], **changed: Any) -> Iterator[Prediction]:
        units = [unit for glitch in glitches for unit in self._units(glitch)]
        logits = self._logits(units)
        for glitch in glitches:
            each = np.stack([next(logits) for _ in glitch])
            whole = next(logits)[None] if self.merged and len(glitch) > 1 else each
            yield dataclasses.replace(self._verdict(glitch, each, whole), **changed)

    def _units(self, glitch: Sequence[_View]) -> list[dict[int, Picture]]:
        """Each view by itself and, where they are judged together, all: pictures by place."""
        if not self.merged:
            return [{0: view.pixels} for view in glitch]
        durations = np.array([view.duration for view in glitch], float)
        each = places(np.zeros(len(glitch), int), durations).tolist()
        whole = {place: view.pixels for place, view in zip(each, glitch, strict=True)}
        alone = [{place: whole[place]} for place in each]
        return [*alone, whole] if len(glitch) > 1 else alone

    def _logits(self, units: Sequence[Mapping[int, Picture]]) -> Iterator[np.ndarray]:
        width = len(DURATIONS) if self.merged else 1
        for start in range(0, len(units), SIZES[-1]):
            chunk = units[start : start + SIZES[-1]]
            size = next(size for size in SIZES if size >= len(chunk))
            views = np.zeros((size, width, *self.preprocessing.shape, 3), np.uint8)
            mask = np.zeros((size, width), bool)
            for row, unit in enumerate(chunk):
                for place, pixels in unit.items():
                    views[row, place], mask[row, place] = pixels, True
            yield from np.asarray(self.forward(views, mask))[: len(chunk), 0]

    def _verdict(self, glitch: Sequence[_View], each: np.ndarray, whole: np.ndarray) -> Prediction:
        """Returns the verdict by the logits of each picture, and those that judge the glitch."""
        mean = whole.mean(axis=0, dtype=float)  # but for a constant the mean log-probability
        raw, outlier = apart(mean, self.classes)
        colours = np.array([colour_distance(view.pixels) for view in glitch])
        first, names = glitch[0], tuple(view.name for view in glitch)
        scores, _ = apart(each, self.classes)
        alone = softmax(scores / temperature_of(self.calibration, 1), axis=-1)
        own = softmax(raw / temperature_of(self.calibration, len(glitch)))
        frequencies = self.prior.shares, self.trained_under
        return Prediction(
            names=self.classes,
            inputs=names if first.gps is None else names[:1],
            gravityspy_id=first.gravityspy_id,
            ifo=first.ifo,
            durations=tuple(view.duration for view in glitch),
            geometry=tuple(view.geometry for view in glitch),
            per_view=under(alone, *frequencies),
            probabilities=under(own, *frequencies),
            gps=first.gps,
            q=first.q,
            channel=first.channel,
            flags=first.flags,
            raw=raw,
            ood_score=float(unlikeness(whole, colours, self.classes)),
            calibration=self.calibration[len(glitch) - 1] if self.calibration else None,
            own=own,
            prior=self.prior.name,
            knows_outliers=outlier is not None,
            pixels=tuple(view.pixels for view in glitch),
        )


def _several(pictures: Any) -> Sequence[Any]:
    """The pictures given, of an iterator as many as show that there are too many."""
    if isinstance(pictures, list | tuple):
        return pictures
    if isinstance(pictures, Iterator) and not isinstance(pictures, io.IOBase):
        return list(islice(pictures, len(DURATIONS) + 1))
    return [pictures]


def _name_of(picture: Any) -> str:
    """A path, or the one that an open file or picture says that it is of."""
    if isinstance(picture, Path):
        return str(picture)
    told = {io.IOBase: "name", Image.Image: "filename"}
    said = [getattr(picture, name, "") for kind, name in told.items() if isinstance(picture, kind)]
    return next((name for name in said if name and isinstance(name, str)), UNNAMED)


def _repeats(view: _View, others: Sequence[_View]) -> str:
    """Says that a view is there already, empty if it isn't."""
    for other in others:
        if view.duration is None and np.array_equal(view.pixels, other.pixels):
            return "is the same picture as another of its glitch"
        if view.duration is not None and view.duration == other.duration:
            return f"repeats the {view.duration} s window of its glitch"
    return ""
