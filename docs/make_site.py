"""What `make docs` adds to the pages of this folder: the home page, one page per module, formulas that need no script.

MkDocs calls the functions that begin with `on_`. Pages are written for GitHub; a link to a file of the repository that
is no page of the site leads to a copy of that file.
"""

import html
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from latex2mathml.converter import convert  # pyright: ignore[reportMissingImports]
from mkdocs.config.defaults import MkDocsConfig  # pyright: ignore[reportMissingImports]
from mkdocs.structure.files import File, Files  # pyright: ignore[reportMissingImports]
from mkdocs.structure.pages import Page  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parents[1]
OF_THE_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the site that lie in the root of the repository."""
COPIES = "repository"
"""The folder of the site for files of the repository that are linked to."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)

BLACKBOARD = re.compile(r'<mi mathvariant="double-struck">([A-Z])</mi>')
FUNCTION = re.compile(r"<mi>(arcsin|exp|log|max|min)</mi>")
TYPED = re.compile(r'<mtext mathvariant="monospace">(.*?)</mtext>')
TIGHT = re.compile(r'<mo(?: stretchy="false")?>(&#x0002F;|&#x0007C;)</mo>')  # a / b, |a|
ESCAPED = r"\_"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation, with what is found in the tree."""
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    first = sorted(decisions, key=lambda name: name != "README.md")
    assert config.nav is not None
    config.nav += [
        {"Reference": _nav(ROOT / "src" / "rsgrpo")},
        {"Decisions": [f"decisions/{name}" for name in first]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages that are not in docs/, and the files of the repository that a page links to."""
    for source, name in OF_THE_ROOT.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    for module in _modules(ROOT / "src" / "rsgrpo", ROOT / "src" / "rsgrpo" / "callbacks"):
        files.append(File.generated(config, _page_of(module), content=f"::: {_dotted(module)}\n"))
    for path in sorted(_copied()):
        files.append(File.generated(config, f"{COPIES}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are on the site."""
    written_in = _source(page.file.src_uri)
    here = PurePosixPath(page.file.src_uri).parent

    def moved(link: re.Match[str]) -> str:
        path = _in_repository(link[0], written_in)
        return os.path.relpath(_on_site(path), here) if (ROOT / path).exists() else link[0]

    return LINK.sub(moved, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """LaTeX becomes MathML, which browsers show by themselves."""

    def shown(formula: re.Match[str]) -> str:
        return _as_browsers_want_it(
            convert(html.unescape(formula[3]), display="inline" if formula[2] == "(" else "block")
        )

    return FORMULA.sub(shown, content)


def _as_browsers_want_it(formula: str) -> str:
    """Of `mathvariant` browsers know "normal" alone, and only operators have space around them."""
    formula = BLACKBOARD.sub(lambda letter: f"<mi>{_blackboard(letter[1])}</mi>", formula)
    formula = TYPED.sub(lambda text: f'<mtext class="typed">{text[1].replace(ESCAPED, "_")}</mtext>', formula)
    formula = FUNCTION.sub(r'<mo form="prefix" lspace=".17em" rspace=".17em">\1</mo>', formula)
    formula = TIGHT.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', formula)
    return formula.replace('<mover><mi>r</mi><mo stretchy="true">', '<mover accent="true"><mi>r</mi><mo>')


def _blackboard(letter: str) -> str:
    try:
        return unicodedata.lookup(f"MATHEMATICAL DOUBLE-STRUCK CAPITAL {letter}")
    except KeyError:  # C, H, N, P, Q, R and Z are older than the others
        return unicodedata.lookup(f"DOUBLE-STRUCK CAPITAL {letter}")


def _nav(folder: Path) -> list[Any]:
    """A package as MkDocs wants it: its own page, then its packages and modules."""
    entries: list[Any] = [_page_of(folder / "__init__.py")]
    for path in sorted(folder.iterdir()):
        if (path / "__init__.py").is_file():
            entries.append({path.name: _nav(path)})
        elif path.suffix == ".py" and path.name != "__init__.py":
            entries.append({path.stem: _page_of(path)})
    return entries


def _modules(*packages: Path) -> Iterator[Path]:
    for package in packages:
        yield from sorted(package.rglob("*.py"))


def _dotted(module: Path) -> str:
    """`src/rsgrpo/data/hub.py` is `rsgrpo.data.hub`."""
    parts = module.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part not in ("src", "__init__"))


def _page_of(module: Path) -> str:
    name = "index.md" if module.name == "__init__.py" else f"{module.stem}.md"
    return (PurePosixPath("reference") / module.parent.relative_to(ROOT) / name).as_posix().replace("/src/", "/")


def _copied() -> set[str]:
    """The files of the repository, no pages of the site, that a page links to."""
    sources = [*(ROOT / name for name in OF_THE_ROOT), *(ROOT / "docs").rglob("*.md")]
    linked = {
        _in_repository(link[0], source.relative_to(ROOT).as_posix())
        for source in sources
        for link in LINK.finditer(source.read_text(encoding="utf-8"))
    }
    return {path for path in linked if _on_site(path).startswith(f"{COPIES}/") and (ROOT / path).is_file()}


def _source(page: str) -> str:
    """The file of the repository that a page of the site is made from."""
    return {name: source for source, name in OF_THE_ROOT.items()}.get(page, f"docs/{page}")


def _in_repository(link: str, written_in: str) -> str:
    return os.path.normpath(PurePosixPath(written_in).parent / link)


def _on_site(path: str) -> str:
    """Where a file of the repository is on the site."""
    if path in OF_THE_ROOT:
        return OF_THE_ROOT[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{COPIES}/{path}"
