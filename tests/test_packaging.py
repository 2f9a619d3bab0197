"""What is built is what is in the tree: wheel, source distribution and editable install, each used from a clean environment.

The environments see the libraries of the one that runs the tests, after their own, so nothing is downloaded.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = {"seal_agent": "seal_agent", "seal_agent.example_data": "examples/data", "seal_agent.integrations": "integrations"}
"""Where the tree keeps what is installed under a name of its own."""

IMPORT_EACH = """
import importlib, sys
from seal_agent.errors import MissingDependencyError
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except MissingDependencyError:
        assert name.startswith("seal_agent.integrations"), name
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One run of the build: the copy of the tree that it saw, and what came out."""

    tree: Path
    files: frozenset[str]
    wheel: Path
    sdist: Path


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that does not see this working tree; its error output when it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_under(folder: Path) -> frozenset[str]:
    return frozenset(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )


def shipped() -> dict[str, Path]:
    """Every file that must be installed: its place in site-packages, and in the tree."""
    return {
        f"{package.replace('.', '/')}/{name}": ROOT / folder / name
        for package, folder in FOLDERS.items()
        for name in files_under(ROOT / folder)
        if not Path(name).name.startswith(".")
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A source distribution of a copy of the tree, and a wheel built from that distribution."""
    work = tmp_path_factory.mktemp("build")
    tree, out = work / "tree", work / "out"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "brain"))
    files = files_under(tree)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree, cwd=work)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(tree=tree, files=files, wheel=wheel, sdist=sdist)


def environment_with(folder: Path, *install: str | Path) -> Path:
    """The interpreter of a new environment in which only seal-agent is installed, the libraries of ours being visible behind it."""
    venv.create(folder, symlinks=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site_packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (site_packages / "outer.pth").write_text("\n".join(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(*pip, *install, cwd=folder)
    return python


@pytest.fixture(scope="module")
def wheel_python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(tmp_path_factory.mktemp("wheel"), built.wheel)


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request: pytest.FixtureRequest, built: Built, wheel_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with seal-agent in it, either way installed."""
    return wheel_python if request.param == "wheel" else environment_with(tmp_path_factory.mktemp("editable"), "--editable", built.tree)


def test_every_package_of_the_tree_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {Path(name).parent.as_posix().replace("/", ".") for name in shipped() if name.endswith("/__init__.py")}
    assert sorted(found) == listed["packages"]
    assert listed["package-dir"] == FOLDERS


def installed_for(requirement: Requirement) -> Iterator[Requirement]:
    """Everything that installing this brings along here, itself first."""
    waiting, seen = [requirement], set[str]()
    while waiting:
        current = waiting.pop()
        if str(current) in seen:
            continue
        seen.add(str(current))
        yield current
        for text in importlib.metadata.requires(current.name) or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in current.extras | {""}):
                waiting.append(needed)


def of_extra(extra: str, project: dict[str, Any]) -> Iterator[Requirement]:  # Any: a table of pyproject.toml
    """What an extra asks for, and the extras that it names; the hosts it doesn't name have environments of their own."""
    for requirement in map(Requirement, project["optional-dependencies"][extra]):
        if requirement.name != project["name"]:
            yield requirement
            continue
        for named in sorted(requirement.extras):
            yield from of_extra(named, project)


def test_every_library_that_gets_installed_is_pinned_at_a_version_that_its_users_accept() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if not line.startswith("#"))}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]] + list(of_extra("dev", project))
    needed = [each for want in wanted for each in installed_for(want)]
    unpinned = {str(each) for each in needed if not each.specifier.contains(pins.get(canonicalize_name(each.name), "0"), prereleases=True)}
    assert (unpinned, len(needed) > len(wanted)) == (set(), True)


@pytest.mark.parametrize("folder", ["examples/data", "seal_agent/consolidation/general"])
def test_every_data_file_is_described_beside_it(folder: str) -> None:
    description = (ROOT / folder / "README.md").read_text()
    assert [path.name for path in (ROOT / folder).glob("*.jsonl") if f"`{path.name}`" not in description] == []


@pytest.mark.slow
def test_the_wheel_carries_each_file_of_the_packages_and_no_other(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        carried = {name for name in wheel.namelist() if ".dist-info/" not in name}
        differing = [name for name, path in shipped().items() if name in carried and wheel.read(name) != path.read_bytes()]
    assert (sorted(carried), differing) == (sorted(shipped()), [])


@pytest.mark.slow
def test_the_wheel_carries_the_licence(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (licence,) = (name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_the_source_distribution_carries_the_whole_repository(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        carried = {name.partition("/")[2] for name in sdist.getnames()}
    assert built.files - carried == set()


@pytest.mark.slow
def test_the_installed_wheel_imports_every_module(wheel_python: Path, tmp_path: Path) -> None:
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in shipped() if name.endswith(".py")}
    run(wheel_python, "-c", IMPORT_EACH, *sorted(name for name in modules if not name.endswith("__main__")), cwd=tmp_path)


@pytest.mark.slow
def test_the_installed_command_starts(wheel_python: Path, tmp_path: Path) -> None:
    assert "consolidate" in run(wheel_python.with_name("seal-agent"), "--help", cwd=tmp_path)


@pytest.mark.slow
def test_the_example_data_is_found(python: Path, tmp_path: Path) -> None:
    listing = "from importlib.resources import files; print(*sorted(item.name for item in files('seal_agent.example_data').iterdir()))"
    expected = {path.name for path in (ROOT / "examples/data").glob("*.jsonl")}
    assert expected == {name for name in run(python, "-c", listing, cwd=tmp_path).split() if name.endswith(".jsonl")} != set()


@pytest.mark.slow
def test_the_integrations_are_installed_under_the_library_and_nowhere_else(python: Path, tmp_path: Path) -> None:
    run(python, "-c", "import seal_agent.integrations", cwd=tmp_path)
    assert run(python, "-c", "import importlib.util; print(importlib.util.find_spec('integrations'))", cwd=tmp_path).strip() == "None"
