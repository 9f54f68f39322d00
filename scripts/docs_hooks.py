"""What mkdocs.yml asks for beside mkdocs: the repository's root has pages too, and the site is held to working offline.

README.md and its neighbours stand in the root, where forges look for them. Here they become pages of the site, and links between
them and ``docs/`` are turned round. Whatever is logged as a warning fails the strict build.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
FILES = ("CITATION.cff", "examples/loop.py", "studies/empg.yaml")  # which pages link to, served as they are
SOURCES = {uri: source for source, uri in PAGES.items()}

log = logging.getLogger("mkdocs.hooks.docs")  # below mkdocs' own, whose warnings the strict build counts


def on_files(files: Files, config: MkDocsConfig) -> Files:
    root = Path(config.config_file_path).parent
    for source, uri in [*PAGES.items(), *((name, name) for name in FILES)]:
        files.append(File.generated(config, uri, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    _warn_of_lost_blocks(markdown, page.file.src_uri)
    return re.sub(r"\]\(([^)\s]+)\)", lambda found: f"]({_link(found[1], page.file.src_uri)})", markdown)


def _link(target: str, page: str) -> str:
    """A link as it stands in the repository, as a link of the site."""
    path, hash_, anchor = target.partition("#")
    if not path or ":" in path:
        return target
    here = SOURCES.get(page, f"docs/{page}")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    uri = PAGES.get(there, there.removeprefix("docs/"))
    return posixpath.relpath(uri, posixpath.dirname(page) or ".") + hash_ + anchor


def _warn_of_lost_blocks(markdown: str, page: str) -> None:
    """Forges begin a list or a table right below a paragraph, Python-Markdown only after a blank line."""
    before, fenced = "", False
    for number, line in enumerate(markdown.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        block = re.match(r"(- |\d+\. |\|)", line)
        if block and not fenced and before.strip() and not re.match(r"( |- |\d+\. |\|)", before):
            log.warning("%s:%d: a list or a table needs a blank line before it", page, number)
        before = line


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    for address in re.findall(
        r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=\"?(https?:[^\s\">]+)", output
    ):
        log.warning("%s loads %s: the site must work offline", page.file.src_uri, address)
    return output
