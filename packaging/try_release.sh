#!/usr/bin/env bash
# Builds wheel and sdist and tries them as strangers would: new environments, an empty folder elsewhere, no network to ask for
# strain. Wants Python 3.11 and 3.13 (one will do, with a note). Takes about five minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

make wheel
size=$(stat -c %s dist/*.whl 2>/dev/null || stat -f %z dist/*.whl)
echo "wheel: $size bytes"
[ "$size" -le 5000000 ] || { echo "The wheel is larger than 5 MB." >&2; exit 1; }

python_of() { # the first working Python of a version
  for python in "python$1" "$HOME/.pyenv/versions/$1".*/bin/python; do
    "$python" -c 'import ensurepip, ssl, sys; assert sys.argv[1] == "%d.%d" % sys.version_info[:2]' "$1" 2>/dev/null \
      && { echo "$python"; return; }
  done
  return 1
}

nowhere() { # runs a command in an empty home that reaches no host
  env HOME="$work/home" XDG_CACHE_HOME="$work/cache" HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 \
    NO_PROXY=127.0.0.1,localhost PATH="$1/bin:$PATH" bash -euo pipefail -c "$2"
}

try_wheel() { # of a Python: installed, it classifies its samples and the first event, and serves the page
  environment=$work/wheel-$1
  "$2" -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check dist/*.whl
  "$environment/bin/pip" check
  mkdir -p "$work/empty-$1" "$work/home" && cd "$work/empty-$1"
  nowhere "$environment" '
    flax-glitch --version
    flax-glitch samples
    flax-glitch classify samples/
    flax-glitch classify samples/ --out verdicts.csv
    for detector in H1 L1; do flax-glitch classify --event GW150914 --detector $detector; done
    python - <<END
import csv
from pathlib import Path
from flax_glitch import Predictor, __version__

rows = list(csv.DictReader(open("verdicts.csv")))
assert len(rows) == 12 and all(row["class"] == Path(row["input"]).parent.name for row in rows), rows
said = Predictor().predict(sorted(Path("samples/Whistle").iterdir()))
assert said.label == "Whistle", said
print(__version__, said.label, said.confidence)
END
    flax-glitch app --no-browser --port 7899 > app.log 2>&1 & app=$!
    for _ in $(seq 60); do curl -sf http://127.0.0.1:7899/ > page.html && break; sleep 1; done
    kill $app
    grep -q flax_glitch page.html'
  cd "$root"
}

try_sdist() { # of a Python: with the locked packages, its tests are whole, and those of the installation pass
  tar -xzf dist/*.tar.gz -C "$work"
  cd "$work"/flax_glitch-*/
  make install PYTHON="$2"
  .venv/bin/python -m pytest --collect-only -q -m "not slow" | tail -n 1
  .venv/bin/python -m pytest -q tests/test_box.py tests/test_checkpoint.py tests/test_cli.py
  cd "$root"
}

tried=0
for version in 3.11 3.13; do
  python=$(python_of "$version") || { echo "No Python $version here: not tried."; continue; }
  try_wheel "$version" "$python"
  tried=1 newest=$version newest_python=$python
done
[ "$tried" = 1 ] || { echo "Neither Python 3.11 nor 3.13 is here." >&2; exit 1; }
try_sdist "$newest" "$newest_python"
