"""Files that a forge, a citation tool or a contributor reads: they parse, and what they name exists."""

import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = [path for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
PAGES += [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "baselines").glob("*/README.md"))]


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def jobs_of(path):
    return read_yaml(path)["jobs"].values()


def commands_of(path):
    return [line.strip() for job in jobs_of(path) for step in job["steps"] for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_targets_that_make_knows(path):
    called = [line.split() for line in commands_of(path) if line.startswith("make ")]
    assert called
    for command in called:
        done = subprocess.run([command[0], "--dry-run", *command[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_do_not_run_for_ever(path):
    assert read_yaml(path)["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in jobs_of(path))


def test_the_oldest_and_the_newest_python_are_tested():
    (job,) = jobs_of(".github/workflows/ci.yml")
    oldest, newest = job["strategy"]["matrix"]["python"]
    allowed = SpecifierSet(PROJECT["requires-python"])
    minors = [f"3.{minor}" for minor in range(100) if f"3.{minor}" in allowed]
    assert [oldest, newest] == [minors[0], minors[-1]]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_forms_ask_each_thing_once(path):
    form = read_yaml(path)
    assert {"name", "description", "body"} <= set(form)
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in asked} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({part["id"] for part in asked}) == len(asked)
    assert all(part["attributes"]["label"] for part in asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_the_citation_file_names_this_version_and_the_paper():
    citation = read_yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["cff-version"], citation["type"], citation["title"]) == ("1.2.0", "software", "collab_asd")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert date.fromisoformat(citation["date-released"]) <= date.today()
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Dohi", "Kawaguchi"]
    assert paper["title"] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_changelog_has_this_version_below_what_is_unreleased():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1] == (PROJECT["version"], read_yaml("CITATION.cff")["date-released"])
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(headings)


def test_hooks_run_what_make_lint_runs():
    """Each in a shell that looks for the program in .venv first."""
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = [
        re.search(r"exec ([\w -]+?)(?: --force-exclude \"\$@\")?'", hook["entry"])[1] for hook in repository["hooks"]
    ]
    lint = subprocess.run(["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    run = re.findall(r"^\S+/bin/((?:ruff|mypy|lint-imports).*?)(?: \.)?$", lint, re.MULTILINE)
    assert hooks == run


def anchors(page):
    """Anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
