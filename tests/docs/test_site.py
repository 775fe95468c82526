"""The documentation site: it shows every public name of the code, its links lead somewhere, and it fetches nothing."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
OF_THE_ROOT = {"README.md": "index", "CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changelog"}
PAGES = {ROOT / name: page for name, page in OF_THE_ROOT.items()} | {
    path: re.sub("README$", "index", path.relative_to(ROOT / "docs").with_suffix("").as_posix())
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
"""The pages that are written by hand, and what the site calls them."""
SHOWN_ALIKE = ("h1", "h2", "h3", "ul", "ol", "li", "table", "tr", "pre", "blockquote", "img", "em", "strong", "code")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as `make docs` builds it."""
    pytest.importorskip("mkdocs", reason="needs what make docs installs")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    offline = os.environ | {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(command, cwd=ROOT, env=offline, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def anchors(site: Path) -> dict[Path, set[str]]:
    """The anchors of every page."""
    return {page: set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8"))) for page in site.rglob("*.html")}


def public_names() -> Iterator[tuple[str, str]]:
    """(page of the site, dotted name) of every module, class, function, method and value."""
    for folder, above in (
        (ROOT / "src" / "rsgrpo", ROOT / "src"),
        (ROOT / "src" / "rsgrpo" / "callbacks", ROOT / "src"),
    ):
        for path in sorted(folder.rglob("*.py")):
            module = path.relative_to(above).with_suffix("")
            page = f"reference/{re.sub('__init__$', 'index', module.as_posix())}.html"
            dotted = ".".join(module.parts).removesuffix(".__init__")
            yield page, dotted
            yield from ((page, name) for name in _names_in(ast.parse(path.read_text(encoding="utf-8")), dotted))


def _names_in(tree: ast.Module | ast.ClassDef, above: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{above}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from _names_in(node, f"{above}.{node.name}")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (f"{above}.{t.id}" for t in targets if isinstance(t, ast.Name) and not t.id.startswith("_"))


def test_every_public_name_is_on_its_page(site: Path, anchors: dict[Path, set[str]]) -> None:
    names = list(public_names())
    assert {name for _, name in names} >= {
        "rsgrpo.errors",
        "rsgrpo.run_folder.names.METRICS",
        "rsgrpo.objectives.rs_grpo.RSGRPO.beta",
        "rsgrpo.objectives.rs_grpo.vimco",
        "rsgrpo.callbacks.checkpoint.Checkpoint.on_fit_start",
    }
    assert [name for page, name in names if name not in anchors.get(site / page, set())] == []


def test_what_is_private_is_not_shown(anchors: dict[Path, set[str]]) -> None:
    shown = {anchor for ids in anchors.values() for anchor in ids if anchor.startswith("rsgrpo.")}
    assert "rsgrpo.objectives.base.as_floats" in shown
    assert [name for name in shown if re.search(r"\._(?!_)", name)] == []


def test_every_link_within_the_site_leads_somewhere(site: Path, anchors: dict[Path, set[str]]) -> None:
    links = [(page, unquote(unescape(link))) for page in anchors for link in _links(page)]
    assert len(links) > 1000
    broken = []
    for page, link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file() or (anchor and anchor not in anchors.get(target, {anchor})):
            broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


def _links(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r'<(?:a|img|link|script)\b[^>]*?\b(?:href|src)="([^"]+)"', text)
    absolute = page.name == "404.html"  # served at any address
    return [link for link in links if not absolute and not re.match(r"[a-z]+:", link) and link != "#"]


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    elsewhere = r"(?:https?:)?//"
    fetched = re.compile(rf'<(?:img|script|link|iframe)\b[^>]*\b(?:href|src)="{elsewhere}|url\(["\']?{elsewhere}')
    assert [page.name for page in pages if fetched.search(page.read_text(encoding="utf-8"))] == []


def test_every_formula_is_shown_as_one(site: Path) -> None:
    text = (site / "objectives.html").read_text(encoding="utf-8")
    assert text.count("<math") == len(re.findall(r"\$\$.+?\$\$|\$[^$]+\$", _page("objectives"), re.DOTALL))
    assert "arithmatex" not in text


def _page(name: str) -> str:
    return re.sub(r"```.*?```", "", (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("source", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_site_shows_a_page_as_github_does(site: Path, source: Path) -> None:
    """Python-Markdown and CommonMark differ in lists, tables and emphasis; our pages keep to what they share."""
    from markdown_it import MarkdownIt

    text = re.sub(r"\$\$.*?\$\$", "", source.read_text(encoding="utf-8"), flags=re.DOTALL)
    on_github = MarkdownIt("commonmark").enable("table").render(text)
    on_site = (site / f"{PAGES[source]}.html").read_text(encoding="utf-8")
    on_site = on_site[on_site.index("<article") : on_site.index("</article>")]
    assert _tags(on_site) == _tags(on_github)


def _tags(text: str) -> dict[str, int]:
    return {tag: len(re.findall(rf"<{tag}[ >/]", text)) for tag in SHOWN_ALIKE}
