"""Brings the repository's own documents onto the site, and their links with them."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

BESIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "checkpoints/default/MODEL_CARD.md",
    "checkpoints/fast/MODEL_CARD.md",
)
"""Files outside docs/ that the site shows. They lie on it where they lie in the repository, but
that docs/ is the top there."""


def on_files(files: Any, config: Any) -> Any:
    """Adds them to the files of the site."""
    from mkdocs.structure.files import File

    for name in BESIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_post_page(html: str, **_: Any) -> str:
    """Takes out the script that would fetch MathJax from elsewhere: no page has formulas."""
    return re.sub(r"<script data-mkdocs-jupyter-mathjax=.*?</script>", "", html, flags=re.DOTALL)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links out of docs/, and into it, into what they are on the site."""
    if page.file.src_uri in BESIDE:
        return markdown.replace("](docs/", "](")
    return markdown.replace("](../", "](")
