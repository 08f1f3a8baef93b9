"""Asks the app what a stranger might: bad pictures, bad strain, bad calls, and 500 calls in a row.

    python benchmarks/hostile.py [--calls 500] [--checkpoint DIR]

Starts the app by itself, with the pictures and arguments that the tests refuse, and ends it. Prints
a line a kind: how many were asked, how many were answered in a sentence or refused (4xx), and what
else came; then the memory of the process as the calls go on. Ends with 1 if anything else came, or
the log holds a traceback, or memory grew by more than 50 MB after the first 100 calls.
Seen on 2 busy x86 cores, 2026-11-25, Python 3.11: of 159 questions 108 were answered and 51
refused, no traceback; 605 MB at the start, 681 after 100 calls, 686 after 500.
"""

import argparse
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import httpx
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("KERAS_BACKEND", "jax")  # a test imports Keras

from test_guard import STRAIN, WRONG  # noqa: E402
from test_pictures import BAD_FILES, VALID  # noqa: E402

HEADERS = (
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
)

PATHS = (
    "component_server", "process_recording", "vibe-edit/", "run/classify", "call/nope",
    "call/v2/nope", "file=/etc/passwd", "file=../../etc/passwd", "proxy=http://example.org/",
    "file=http://example.org/", "stream/x", "runs",
)  # fmt: skip


def bad_strain() -> dict[str, bytes]:
    """Returns strain files by what is wrong with them; the name says the kind of file."""
    numbers = np.random.default_rng(0).standard_normal(8 * 4096)
    files = {
        "empty.hdf5": b"",
        "text.hdf5": b"no strain",
        "text.gwf": b"no frame",
        "text.csv": b"time,strain\nwhen,what\n",
        "nothing.csv": b"\n\n\n",
        "one number.txt": b"1",
        "pickle.npy": npy(np.array([{}], object), allow_pickle=True),
        "complex.npy": npy(numbers.astype(complex)),
        "matrix.npy": npy(np.zeros((64, 64))),
        "nan.npy": npy(np.full(32 * 4096, np.nan)),
        "infinite.npy": npy(np.full(32 * 4096, np.inf)),
        "zeros.npy": npy(np.zeros(32 * 4096)),
        "brief.npy": npy(numbers[:10]),
        "claims 8 TB.npy": npy(numbers).replace(b"(32768,)", b"(10**12)"),
        "huge.npy": npy(numbers).replace(b"(32768,), }       ", b"(1000000000000,), }"),
    }
    for kind in ("cut", "other", "far", "names"):
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            if kind == "far":
                file["strain/Strain"] = h5py.ExternalLink("/etc/passwd", "/x")
            elif kind == "other":
                file["elsewhere"] = numbers
            else:
                strain = file.create_dataset("strain/Strain", data=numbers)
                strain.attrs["Xspacing"] = "wide" if kind == "names" else 1 / 4096
        whole = content.getvalue()
        files[f"{kind}.hdf5"] = whole[: len(whole) // 2] if kind == "cut" else whole
    return files


def npy(values: np.ndarray, **options: bool) -> bytes:
    """Returns the content of an .npy file."""
    content = io.BytesIO()
    np.save(content, values, **options)
    return content.getvalue()


class App:
    """The app as a program sees it, in its own process."""

    def __init__(self, process: subprocess.Popen[str], address: str):
        self._process, self._api = process, f"{address}gradio_api/"
        self.client = httpx.Client(base_url=self._api, timeout=120)

    def upload(self, name: str, content: bytes) -> str:
        """Returns where the app keeps an upload."""
        return self.client.post("upload", files={"files": (name, content)}).json()[0]

    def outcome(self, name: str, data: list) -> str:
        """Returns what came of a call: answered, refused or something else."""
        asked = self.client.post(f"call/{name}", json={"data": data})
        if asked.status_code != 200:
            return kind_of(asked.status_code)
        answer = self.client.get(f"call/{name}/{asked.json()['event_id']}").text
        return "answered" if "event: complete" in answer else answer[:80]

    def megabytes(self) -> int:
        """Returns the memory that the process holds."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024


def kind_of(status: int) -> str:
    """Returns what a status means here."""
    words = {2: "answered", 3: "answered", 4: "refused"}
    return words.get(status // 100, f"status {status}")


def file_at(path: str) -> dict:
    """Returns an upload as a call names it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@contextmanager
def started(checkpoint: list[str], log: Path) -> Iterator[App]:
    """Starts the app, and ends it."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app_gradio.py"), "--no-browser", *checkpoint],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        text=True,
    )
    try:
        found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)))
        yield App(process, found[0])
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    finally:
        process.kill()


def pictures(app: App) -> Iterator[str]:
    """Yields what comes of bad pictures."""
    for number, (content, _) in enumerate(BAD_FILES.values()):
        path = app.upload(f"{number}.png", content)
        yield app.outcome("classify", [file_at(path), "balanced"])
        yield app.outcome("batch", [[file_at(path)], "balanced"])


def strain(app: App) -> Iterator[str]:
    """Yields what comes of bad strain, with nothing else told and with all told."""
    for name, content in bad_strain().items():
        path = file_at(app.upload(name, content))
        for rest in ((None, None, ""), ("1000", 4096, ""), ("1000", -1, "x" * 200)):
            yield app.outcome("strain", ["1016.5", "H1", path, *rest, "balanced"])


def times(app: App) -> Iterator[str]:
    """Yields what comes of times and names that are none, which ask nobody."""
    for when in ("", "nan", "-1e400", "GW150914; rm -rf", "../..", "<script>", "${1+1}", "'" * 40):
        yield app.outcome("strain", [when, *STRAIN[1:]])


def arguments(app: App) -> Iterator[str]:
    """Yields what comes of arguments of a wrong type."""
    for name, data in WRONG:
        yield app.outcome(name, data)


def requests(app: App) -> Iterator[str]:
    """Yields what comes of requests that no page of ours makes."""
    for headers in HEADERS:
        yield kind_of(app.client.post("upload", headers=headers, files={"files": b"x"}).status_code)
    for path in PATHS:
        yield kind_of(app.client.get(path).status_code)
        yield kind_of(app.client.post(path, json={"data": []}).status_code)
    for content in (b"", b"[]", b'{"data": 5}', b"\xff\xfe", b'{"data":' + b"[" * 9999):
        yield kind_of(app.client.post("call/classify", content=content).status_code)


def main() -> int:
    """Prints a line a kind, then the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--checkpoint")
    options = parser.parse_args()
    checkpoint = ["--checkpoint", options.checkpoint] if options.checkpoint else []
    log = Path(tempfile.mkstemp(suffix=".log")[1])
    bad = False
    with started(checkpoint, log) as app:
        print(f"at the start: {app.megabytes()} MB", flush=True)
        for kind in (pictures, strain, times, arguments, requests):
            came = Counter(kind(app))
            bad |= bool(set(came) - {"answered", "refused"})
            print(f"{kind.__name__:10}{came.total():5} asked: {dict(came)}", flush=True)
        path = file_at(app.upload("H1_abc_spectrogram_1.0.png", VALID))
        used = []
        for number in range(1, options.calls + 1):
            bad |= app.outcome("classify", [path, "balanced"]) != "answered"
            if number % 100 == 0:
                used.append(app.megabytes())
                print(f"after {number} calls: {used[-1]} MB", flush=True)
    traces = log.read_text().count("Traceback")
    print(f"tracebacks in the log: {traces} ({log})")
    return int(bad or traces > 0 or (used and used[-1] - used[0] > 50))


if __name__ == "__main__":
    sys.exit(main())
