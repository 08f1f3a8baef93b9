"""Pictures become the same pixels by every road, bad ones become one clear error."""

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from matplotlib import colormaps
from PIL import Image

from flax_glitch.config import Preprocessing
from flax_glitch.data.pictures import MAX_BYTES, PictureError, load_picture, resize
from flax_glitch.models.preprocess import standardise

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(0, 256, (40, 50, 3), np.uint8)
BATCH = RANDOM.integers(0, 256, (2, 3, 20, 20, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand, so that Pillow's reader is not judged by Pillow's writer."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def webp(kind: bytes, content: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(content)) + content + bytes(64)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def sixteen_bit_png(values: np.ndarray) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, 2 if values.ndim == 3 else 0, rows)


VALID = encoded(Image.fromarray(NOISE))


def test_file_content_and_array_give_identical_pixels(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(VALID)
    for source in (path, VALID, NOISE, NOISE / 255.0, NOISE.astype(np.uint16) * 257):
        np.testing.assert_array_equal(load_picture(source).pixels, NOISE)


def test_real_file_content_and_array_give_identical_pixels(shared_data):
    paths = sorted(shared_data.glob("gravityspy/Koi_Fish/*.png"))
    assert paths
    for path in paths:
        from_file = load_picture(path)
        from_array = load_picture(np.asarray(Image.open(path)))
        assert from_file.geometry == from_array.geometry != "unknown"
        np.testing.assert_array_equal(from_file.pixels, load_picture(path.read_bytes()).pixels)
        np.testing.assert_array_equal(from_file.pixels, from_array.pixels)


def test_the_format_is_told_by_content_not_by_suffix(tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(Image.fromarray(NOISE), "WEBP", lossless=True))
    np.testing.assert_array_equal(load_picture(path).pixels, NOISE)


def test_threads_decode_at_the_same_time_without_disturbing_each_other():
    found = []
    work = [threading.Thread(target=lambda: found.append(load_picture(VALID))) for _ in range(16)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(found) == 16
    assert all((one.pixels == NOISE).all() for one in found)


def test_a_sixteen_bit_grey_picture_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    pixels = load_picture(sixteen_bit_png(values)).pixels
    assert np.abs(pixels.astype(float) - values[..., None] / 257).max() <= 1
    np.testing.assert_array_equal(pixels, load_picture(values).pixels)


def test_a_sixteen_bit_colour_picture_is_scaled_not_clipped():
    values = RANDOM.integers(0, 65536, (32, 32, 3)).astype(np.uint16)
    pixels = load_picture(sixteen_bit_png(values)).pixels
    assert np.abs(pixels.astype(float) - values / 257).max() <= 1
    np.testing.assert_array_equal(pixels, load_picture(values).pixels)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_become_white(mode):
    image = Image.fromarray(NOISE).convert("RGBA")
    alpha = np.zeros(NOISE.shape[:2], np.uint8)
    alpha[:, 25:] = 255
    image.putalpha(Image.fromarray(alpha))
    if mode == "LA":
        image = image.convert("LA")
    options = {}
    if mode == "P":
        image = Image.fromarray(np.where(alpha == 0, 7, 9).astype(np.uint8), "L").convert("P")
        options = {"transparency": 7}
    pixels = load_picture(encoded(image, **options)).pixels
    assert (pixels[:, :25] == 255).all()
    expected = np.asarray(image.convert("RGB"))[:, 25:]
    np.testing.assert_array_equal(pixels[:, 25:], expected)


def test_half_transparent_colour_is_mixed_with_white():
    pixels = load_picture(np.full((20, 20, 4), (100, 0, 200, 128), np.uint8)).pixels
    expected = 255 + (np.array([100, 0, 200]) - 255) * 128 / 255
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_any_mode_becomes_rgb_as_pillow_converts_it(mode):
    image = Image.fromarray(NOISE).convert(mode)
    pixels = load_picture(encoded(image)).pixels
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


def test_a_cmyk_jpeg_keeps_its_colours():
    colours = Image.new("RGB", (64, 64), (30, 160, 90))
    pixels = load_picture(encoded(colours.convert("CMYK"), "JPEG", quality=95)).pixels
    assert np.abs(pixels.astype(int) - (30, 160, 90)).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_a_film_is_taken(kind):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    film = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    pixels = load_picture(film).pixels
    assert (pixels == (255, 0, 0)).all()


def test_a_photograph_is_turned_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    pixels = load_picture(encoded(Image.fromarray(NOISE), exif=exif)).pixels
    np.testing.assert_array_equal(pixels, np.rot90(NOISE, -1))


def test_damaged_metadata_neither_warns_nor_stops_a_picture(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a description longer than what is left of the file"
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.fromarray(NOISE), "JPEG", exif=exif.tobytes()[:20]))
    code = (
        "import sys, warnings; from pathlib import Path\n"
        "from flax_glitch.data.pictures import load_picture\n"
        "warnings.filterwarnings('error', append=True)\n"
        "print(load_picture(Path(sys.argv[1])).pixels.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("(40, 50, 3)", "")


def test_grey_arrays_fill_all_three_colours():
    grey = NOISE[..., :1]
    for array in (grey, grey[..., 0]):
        np.testing.assert_array_equal(load_picture(array).pixels, np.repeat(grey, 3, axis=2))


def test_the_pixels_are_no_view_of_the_callers_array():
    array = NOISE.copy()
    pixels = load_picture(array).pixels
    array[:] = 0
    np.testing.assert_array_equal(pixels, NOISE)


def test_the_three_geometries_of_one_figure_show_the_same_area():
    inside = Image.fromarray(RANDOM.integers(0, 200, (8, 9, 3), np.uint8)).resize((573, 479))
    full = Image.new("RGB", (800, 600), "white")
    full.paste("black", (100, 60, 675, 541))  # the frame, one pixel wide
    full.paste(inside, (101, 61))
    kaggle = np.asarray(full)[60:539, 100:669]
    golden = full.resize((600, 450), Image.Resampling.LANCZOS)
    loaded = [load_picture(np.asarray(one)) for one in (full, kaggle, golden)]
    assert [one.geometry for one in loaded] == ["full", "kaggle", "golden"]
    np.testing.assert_array_equal(loaded[0].pixels, loaded[1].pixels)
    small = [resize(one.pixels, 64).astype(int) for one in loaded]
    assert np.abs(small[2] - small[0]).max() <= 8


def test_an_unknown_geometry_is_used_whole():
    loaded = load_picture(NOISE)
    assert loaded.geometry == "unknown"
    assert loaded.pixels.shape == NOISE.shape


REAL = [
    ("gravityspy", (800, 600), "full"),
    ("gravityspy", (569, 479), "kaggle"),
    ("golden", (600, 450), "golden"),
]


def real_pictures(folder: Path, size: tuple[int, int], pattern: str) -> list[Path]:
    paths = []
    for path in sorted(folder.glob(pattern)):
        with Image.open(path) as image:
            if image.size == size:
                paths.append(path)
    assert paths
    return paths


@pytest.mark.parametrize(("folder", "size", "geometry"), REAL)
def test_the_edges_of_real_pictures_are_spectrogram_and_not_frame(
    shared_data, folder, size, geometry
):
    viridis = np.rint(colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255)
    for path in real_pictures(shared_data / folder, size, "[BCW]*/*_2.0.png")[:12]:
        loaded = load_picture(path)
        assert loaded.geometry == geometry
        for edge in (
            loaded.pixels[0],
            loaded.pixels[-1],
            loaded.pixels[:, 0],
            loaded.pixels[:, -1],
        ):
            distance = np.linalg.norm(edge[:, None] - viridis, axis=-1).min(1)
            assert np.median(distance) < 20, path  # black and white are 53 and 130 away


@pytest.mark.parametrize(
    ("folder", "size", "hertz"),
    [
        ("gravityspy/1080Lines", (569, 479), 1080),
        ("golden/1080Lines", (600, 450), 1080),
        ("community/Power_Line", (800, 600), 60),
    ],
)
def test_a_known_line_lies_at_its_frequency_in_every_geometry(shared_data, folder, size, hertz):
    picture = load_picture(real_pictures(shared_data / folder, size, "*_1.0.*")[0]).pixels
    heights = (np.arange(len(picture)) + 0.5) / len(picture)
    frequencies = 2048 * (10 / 2048) ** heights
    near = abs(np.log2(frequencies / hertz)) < 0.5
    brightest = frequencies[near][picture[near].sum((1, 2), dtype=int).argmax()]
    assert abs(np.log2(brightest / hertz)) < 0.1


def test_a_figure_of_known_size_with_its_frame_elsewhere_is_cut_there():
    figure = np.full((600, 800, 3), 255, np.uint8)
    inside = np.random.default_rng(0).integers(0, 200, (350, 450, 3))
    figure[100:450, 150:600] = inside
    loaded = load_picture(figure)
    assert loaded.geometry == "framed"
    np.testing.assert_array_equal(loaded.pixels, inside[2:-2, 2:-2])


def test_a_figure_that_is_mostly_margin_is_used_whole():
    figure = np.full((600, 800, 3), 255, np.uint8)
    figure[150:400, 200:500] = 40
    assert load_picture(figure).geometry == "unknown"


def test_a_scaled_picture_shows_the_same_spectrogram(shared_data):
    for path in real_pictures(shared_data / "gravityspy", (800, 600), "[BCW]*/*_2.0.png")[:6]:
        with Image.open(path) as image:
            whole = image.convert("RGB")
        expected = resize(load_picture(path).pixels, 64).astype(int)
        for size in ((752, 564), (1200, 900)):
            loaded = load_picture(np.asarray(whole.resize(size, Image.Resampling.LANCZOS)))
            assert loaded.geometry == "framed"
            assert np.abs(resize(loaded.pixels, 64) - expected).mean() < 3


def test_every_real_picture_loads(shared_data):
    paths = sorted(shared_data.glob("gravityspy/*/*.png"))[::5]
    paths += sorted(shared_data.glob("community/*/*.j*"))[::5]
    assert paths
    for path in paths:
        assert load_picture(path).geometry != "unknown"


def bad_files() -> dict[str, tuple[bytes, str]]:
    image = Image.fromarray(NOISE)
    huge = b"\xff\x3f\xff\x3f"  # 16383 by 16383 in the header of lossy WebP
    return {
        "empty": (b"", "empty"),
        "text": (b"just words", "not a PNG, JPEG or WebP"),
        "truncated PNG": (VALID[: len(VALID) // 2], "damaged"),
        "truncated JPEG": (encoded(image, "JPEG")[:700], "damaged"),
        "truncated WebP": (encoded(image, "WEBP")[:200], "damaged"),
        "only a PNG signature": (VALID[:8], "damaged"),
        "no PNG data": (VALID[:33], "damaged"),
        "wrong checksum": (
            VALID.replace(b"IHDR", b"IHDR", 1)[:29] + b"abcd" + VALID[33:],
            "damaged",
        ),
        "PNG bomb": (png(60_000, 60_000, 8, 2, b""), "60000x60000"),
        "PNG below Pillow's limit": (png(9_000, 9_500, 8, 0, bytes(9_001 * 9_500)), "9000x9500"),
        "WebP bomb": (webp(b"VP8X", bytes(4) + b"\xfe\x3f\x00" * 2), "16383x16383"),
        "lossy WebP bomb": (webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + huge), "16383x16383"),
        "lossless WebP bomb": (webp(b"VP8L", b"\x2f\xff\xff\xff\x0f"), "16384x16384"),
        "text chunk bomb": (
            png(
                32, 32, 8, 0, bytes(33 * 32), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5**12)))
            ),
            "damaged",
        ),
        "1x1": (encoded(image.resize((1, 1))), "1x1 pixels, too small"),
        "too narrow": (encoded(image.resize((8, 40))), "8x40 pixels, too small"),
        "GIF": (encoded(image, "GIF"), "not a PNG, JPEG or WebP"),
        "TIFF": (encoded(image, "TIFF"), "not a PNG, JPEG or WebP"),
        "BMP": (encoded(image, "BMP"), "not a PNG, JPEG or WebP"),
        "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a PNG, JPEG or WebP"),
        "too many bytes": (VALID + bytes(MAX_BYTES), "larger than 10,000,000 bytes"),
    }


BAD_FILES = bad_files()


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_gives_one_line_with_its_name_and_the_fault(kind, tmp_path):
    data, fault = BAD_FILES[kind]
    path = tmp_path / "some.png"
    path.write_bytes(data)
    for source, name in ((path, str(path)), (data, "picture")):
        with pytest.raises(PictureError) as caught:
            load_picture(source)
        message = str(caught.value)
        assert message.startswith(f"{name}: ")
        assert fault in message
        assert len(message.splitlines()) == 1


def test_a_bomb_is_refused_without_taking_memory():
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind in [name for name in BAD_FILES if "bomb" in name or "limit" in name]:
        with pytest.raises(PictureError):
            load_picture(BAD_FILES[kind][0])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_missing_files_folders_and_other_things_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    faults = {"missing.png": "No such file", "": "is a folder", "pipe": "not a regular file"}
    for name, fault in faults.items():
        with pytest.raises(PictureError, match=fault):
            load_picture(tmp_path / name)
    with pytest.raises(PictureError, match="can't be read"):
        load_picture(tmp_path / ("long" * 100))


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "locked.png"
    path.write_bytes(VALID)
    path.chmod(0)
    if os.geteuid() == 0:  # nothing is locked for root

        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PictureError, match=r"locked.png: can't be read \(Permission denied\)"):
        load_picture(path)


def test_a_strange_file_name_still_gives_one_printable_line(tmp_path):
    path = tmp_path / "two\nlines\udcff.png"
    with pytest.raises(PictureError) as caught:
        load_picture(path)
    message = str(caught.value)
    assert message.isprintable()
    assert "two?lines?.png" in message


@pytest.mark.parametrize(
    ("array", "fault"),
    [
        (np.full((20, 20, 3), np.nan), "NaN"),
        (np.full((20, 20), 200.0), "outside 0 to 1"),
        (np.full((20, 20), -np.inf), "outside 0 to 1"),
        (np.full((20, 20, 3), 256, np.int64), "array of int64"),
        (np.zeros((20, 20, 3), bool), "array of bool"),
        (np.zeros((3, 20, 20), np.uint8), "shape (3, 20, 20)"),
        (np.zeros((20, 20, 2), np.uint8), "shape (20, 20, 2)"),
        (np.zeros((1, 20, 20, 3), np.uint8), "shape (1, 20, 20, 3)"),
        (np.zeros(400, np.uint8), "shape (400,)"),
        (np.zeros((0, 0, 3), np.uint8), "0x0 pixels"),
        (np.broadcast_to(np.uint8(0), (6000, 6000)), "6000x6000"),
    ],
)
def test_a_bad_array_is_refused_with_its_fault(array, fault):
    with pytest.raises(PictureError) as caught:
        load_picture(array, "upload 3")
    assert str(caught.value).startswith("upload 3: ")
    assert fault in str(caught.value)


def test_damaged_bytes_anywhere_give_only_picture_errors():
    sources = [encoded(Image.fromarray(NOISE), kind) for kind in ("PNG", "JPEG", "WEBP")]
    outcomes = set()
    for number in range(600):
        data = bytearray(sources[number % 3])
        for place in RANDOM.integers(0, len(data), 1 + number % 5):
            data[place] = RANDOM.integers(256)
        try:
            load_picture(bytes(data))
            outcomes.add("loaded")
        except PictureError:
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}


def test_resizing_agrees_with_jax_antialiased_resizing():
    picture = RANDOM.integers(0, 256, (60, 90, 3), np.uint8)
    expected = jax.image.resize(picture.astype(np.float32), (24, 24, 3), "linear", antialias=True)
    assert np.abs(resize(picture, 24) - np.asarray(expected)).max() <= 1


def test_samplewise_equals_keras_image_data_generator():
    generator = ImageDataGenerator(
        rescale=1 / 255, samplewise_center=True, samplewise_std_normalization=True
    )
    result = np.asarray(standardise(BATCH, Preprocessing(normalise="samplewise")))
    for index in np.ndindex(BATCH.shape[:2]):
        expected = generator.standardize(BATCH[index].astype(np.float32))
        np.testing.assert_allclose(result[index], expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("normalise", "reference"),
    [
        ("caffe", keras.applications.resnet50.preprocess_input),
        ("tf", keras.applications.xception.preprocess_input),
        ("unit", lambda pictures: pictures / 255),
    ],
)
def test_named_modes_equal_keras(normalise, reference):
    result = standardise(BATCH, Preprocessing(normalise=normalise))
    expected = reference(BATCH.astype(np.float32))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_grayscale_is_pillow_luminance_in_all_three_channels():
    result = np.asarray(standardise(BATCH, Preprocessing(colour="grayscale", normalise="unit")))
    expected = np.asarray(Image.fromarray(BATCH[0, 0]).convert("L"), np.float32)
    assert np.abs(result[0, 0] * 255 - expected[..., None]).max() <= 0.51


def test_a_flat_picture_standardises_to_finite_numbers():
    flat = np.full((1, 8, 8, 3), 68, np.uint8)
    assert np.abs(standardise(flat, Preprocessing())).max() < 1


def test_integer_and_floating_pixels_and_jit_standardise_alike():
    expected = standardise(BATCH, Preprocessing())
    floats = standardise(BATCH.astype(np.float32), Preprocessing())
    np.testing.assert_array_equal(expected, floats)
    jitted = jax.jit(lambda pictures: standardise(pictures, Preprocessing()))(jnp.asarray(BATCH))
    np.testing.assert_allclose(jitted, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (io.StringIO("text"), "picture: is open as text; open it with 'rb'"),
        (Image.new("F", (32, 32)), "picture: has pixels of 32 bits; give it as an array, scaled"),
        (Image.new("L", (8, 8)), "picture: is 8x8 pixels, too small"),
        (np.full((32, 32), 256), "give integers from 0 to 255, uint16, or floats from 0 to 1"),
        (np.full((32, 32), -1), "give integers from 0 to 255, uint16, or floats from 0 to 1"),
        (jnp.full((32, 32), 2.0), "has floats outside 0 to 1 or NaN"),
        (jnp.zeros((32, 32), jnp.bfloat16), "is an array of bfloat16; give integers"),
    ],
)
def test_what_is_no_picture_in_python_is_said_in_one_line(source, said):
    with pytest.raises(PictureError) as error:
        load_picture(source)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_closed_file_is_named(tmp_path):
    file = io.BytesIO(b"")
    file.close()
    with pytest.raises(PictureError, match=r"a.png: can't be read \(.*closed.*\); open it"):
        load_picture(file, "a.png")
