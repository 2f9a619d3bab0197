"""Each host integration against the real package of its host, each in an environment of its own.

    python -m benchmarks.host_conformance [--quick] [--json] [--hosts crewai,langmem] [--environments FOLDER]

Hosts contradict one another's pins and ours, so none of them is installed where seal-agent is developed. For each, a virtual environment is
made (in FOLDER, where it is kept and used again, else in a temporary one), the host is installed with pip, seal-agent and what it stands on
are made visible behind it, and the tests of that host run: `tests/integrations/hosts/`. Takes some minutes and up to 1.5 GB, mostly CrewAI.

`--json` prints one object on the last line, per host:
  passed, failed, skipped, total    test cases
  version                           of the host that was installed
  failures                          which cases failed, or why the environment could not be made
and `seconds`, `python`. Nothing is random; one run is one trial.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOSTS = {
    "openai_agents": "openai-agents==0.24.0",
    "llama_index": "llama-index-core==0.14.25",
    "agent_framework": "agent-framework-core==1.23.0",
    "pydantic_ai": "pydantic-ai-slim==2.68.0",
    "crewai": "crewai==1.15.30",
    "langmem": "langmem==0.0.30",
}
"""What is installed for each; the integrations' messages name the ranges."""
BUILD = "setuptools>=77"
"""What seal-agent is built with; Python 3.11 puts an older one into its environments."""
TIMEOUT = 900
QUICK = ("openai_agents", "agent_framework", "pydantic_ai")
"""Those that install within a minute."""


def environment(folder: Path, requirement: str) -> Path:
    """Return the interpreter of an environment with the host in it and ours behind it; raise `RuntimeError` with pip's words."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, symlinks=True, with_pip=True)
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    call([*pip, requirement, BUILD])
    purelib = Path(call([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    # Behind the host's own packages: what it pins wins, what seal-agent needs beyond that comes from here.
    (purelib / "outer.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")), encoding="utf-8")
    call([*pip, "--no-deps", "--no-index", "--no-build-isolation", "--editable", ROOT])
    return python


def call(command: Sequence[str | Path]) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(part) for part in command[1:])}: {done.stderr.strip()[-1500:]}")
    return done.stdout


def run(host: str, python: Path, home: Path) -> dict[str, object]:
    """Run the tests of one host and count."""
    report = home / f"{host}.xml"
    command = [str(python), "-m", "pytest", "-q", "-n", "0", "-W", "ignore", "-p", "no:cacheprovider", f"--junitxml={report}"]
    # Some hosts write into the home directory when they are imported, and some report home.
    quiet = {"HOME": str(home), "CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_STORAGE_DIR": str(home / "crewai")}
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CI")} | quiet
    command.append(f"tests/integrations/hosts/test_{host}.py")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if not report.exists():
        return {"passed": 0, "failed": 1, "skipped": 0, "total": 1, "failures": [done.stdout[-1500:] + done.stderr[-500:]]}
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failures = [str(case.get("name")) for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failures) - skipped
    # A module that skips itself here proves nothing: the host is there.
    failures += ["every test was skipped: " + done.stdout[-500:]] if not passed and not failures else []
    return {"passed": passed, "failed": len(failures), "skipped": skipped, "total": len(cases), "failures": failures}


def measure(host: str, environments: Path) -> dict[str, object]:
    package, _, pinned = HOSTS[host].partition("==")
    try:
        python = environment(environments / host, HOSTS[host])
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return {"passed": 0, "failed": 1, "skipped": 0, "total": 1, "version": pinned, "failures": [f"{package}: {error}"]}
    home = environments / f"{host}-home"
    home.mkdir(exist_ok=True)
    return run(host, python, home) | {"version": pinned}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--hosts", help="which, by comma (all)")
    parser.add_argument("--environments", type=Path, help="folder of the environments, kept and used again")
    options = parser.parse_args(arguments)
    chosen = options.hosts.split(",") if options.hosts else list(QUICK if options.quick else HOSTS)
    unknown = [host for host in chosen if host not in HOSTS]
    if unknown:
        parser.error(f"no host {unknown[0]!r}; there are {', '.join(HOSTS)}")
    started = time.perf_counter()
    figures: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for host in chosen:
            figures[host] = measure(host, (options.environments or Path(temporary)).absolute())
            if not options.json:
                print(f"{host} {figures[host]['version']}: {figures[host]['passed']} of {figures[host]['total']} passed")
                print(*(f"  failed: {failure}" for failure in listed(figures[host]["failures"])), sep="\n", end="")
    if options.json:
        print(json.dumps({**figures, "seconds": round(time.perf_counter() - started, 1), "python": platform.python_version()}))
    return int(any(listed(counted["failures"]) for counted in figures.values()))


def listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


if __name__ == "__main__":
    sys.exit(main())
