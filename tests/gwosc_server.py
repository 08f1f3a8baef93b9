"""A stand-in for gwosc.org: the answers of its API that we ask for, and files with ranges."""

import http.server
import json
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import h5py
import numpy as np

RATE = 4096

EVENTS = (
    ("GW190814_211039", 1249852257.0),
    ("GW190814_211039", 1249852257.0),
    ("GW190828_063405", 1251009263.8),
    ("GW190828_065509", 1251010527.9),
)
"""Name and GPS time of each version of some events (GWTC-2.1)."""


def write_strain(path, values, start, *, detector="H1", rate=RATE, seconds=None, **options):
    """A file in GWOSC's layout; where `seconds` is longer than the values, the rest is a gap."""
    samples = len(values) if seconds is None else seconds * rate
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "strain/Strain", (samples,), values.dtype, chunks=(2048,), fillvalue=np.nan, **options
        )
        dataset[: len(values)] = values
        dataset.attrs.update(Xstart=start, Xspacing=1 / rate)
        file["meta/GPSstart"] = start
        file["meta/Detector"] = detector
    return path


def write_masks(path, start, seconds, unset):
    """Adds GWOSC's bit masks, without the bits that are named, each in one second."""
    names = {
        "quality/simple/DQ": ["DATA", "CBC_CAT1", "CBC_CAT2"],
        "quality/injections/Inj": ["NO_CBC_HW_INJ", "NO_BURST_HW_INJ", "NO_CW_HW_INJ"],
    }
    with h5py.File(path, "a") as file:
        for place, bits in names.items():
            mask = np.full(seconds, 0b111, np.uint32)
            for second, name in unset:
                if name in bits:
                    mask[second - start] ^= 1 << bits.index(name)
            file[f"{place}mask"] = mask
            file[f"{place}mask"].attrs.update(Xstart=start, Xspacing=1.0)
            file[f"{place}Shortnames"] = np.array(bits, "S")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as GWOSC does, and as badly as the server's `fault` says."""

    def do_GET(self):
        address = urlsplit(self.path)
        self.server.asked.append((address.path, self.headers["Range"]))
        if self.server.fault == "silent":
            return time.sleep(1)
        if self.server.fault == "busy" and len(self.server.asked) % 2:
            return self.send_error(503)
        if address.path.startswith("/api/v2/"):
            return self.tell(address.path, parse_qs(address.query))
        if self.server.fault == "elsewhere":
            self.send_response(302)
            self.send_header("Location", f"{self.server.elsewhere}{address.path}")
            return self.end_headers()
        if not (path := self.server.folder / Path(address.path).name).exists():
            return self.send_error(404)
        return self.send(path)

    def tell(self, path, query):
        detector = query.get("detector", ["H1"])[0]
        files = [
            {
                "hdf5_url": f"{self.server.files}/{file.name}",
                "download_url": f"{self.server.files}/{file.name}",
                "gps_start": int(file.stem.split("-")[2]),
                "duration": int(file.stem.split("-")[3]),
            }
            for file in sorted(self.server.folder.glob(f"*-{detector}_*.hdf5"))
        ]
        bulk = [file for file in files if file["duration"] == 4096]
        start, stop = (float(query.get(name, [0])[0]) for name in ("start", "stop"))
        answers = {
            "/api/v2/strain-files": [
                file
                for file in bulk
                if start <= file["gps_start"] + 4096 and file["gps_start"] <= stop
            ],
            "/api/v2/event-versions/GW150914/strain-files": files,
            "/api/v2/event-versions/GW151226": {"gps": 1135136350.6},
            "/api/v2/event-versions": [
                {"name": name, "gps": gps}
                for name, gps in EVENTS
                if query.get("name-contains", [""])[0] in name
            ],
        }
        if path not in answers:
            return self.send_error(404)
        answer = answers[path]
        if isinstance(answer, list):
            answer = {"results": answer, "num_pages": 1, "next": None}
        return self.reply(200, json.dumps(answer).encode())

    def send(self, path):
        content = path.read_bytes()
        wanted = None if self.server.fault == "no ranges" else self.headers["Range"]
        if wanted is None:
            return self.reply(200, content)
        first, last = wanted.removeprefix("bytes=").split("-")
        if int(first) >= len(content):
            return self.reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        part = content[int(first) : int(last or len(content)) + 1]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        return self.reply(206, part, {"Content-Range": span})

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in {**dict(headers), "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        odd = self.server.fault == "broken" and len(self.server.asked) % 2
        if (odd or self.server.fault == "cut") and len(body) > 10_000:
            body = body[: len(body) // 2]
        if self.server.fault == "slow":
            self.wfile.write(body[:1000])
            self.wfile.flush()
            time.sleep(0.02)
            body = body[1000:]
        self.wfile.write(body)
        self.server.sent += len(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a folder, named as GWOSC's, at `address`."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.asked, self.sent, self.fault = folder, [], 0, None
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.elsewhere = f"http://localhost:{self.server_port}"
        self.files = f"{self.address}/archive"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        pass  # clients go away

    def server_close(self):
        self.shutdown()
        super().server_close()
