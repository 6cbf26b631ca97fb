# SPDX-License-Identifier: Apache-2.0
"""Which module may import which other, checked with all imports in the source, including those inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS: tuple[dict[str, set[str]], ...] = (
    {
        "errors": set(),
        "names": set(),
        "units": set(),
        "job": set(),
        "version": set(),
        "words": set(),
    },
    {
        "expect": {"units"},
        "store": {"errors", "job", "names"},
    },
    {
        "cc": {"errors", "job", "names", "store"},
    },
    {
        "agent": {"job"},
        "workflows": set(),
        "analysis": {"job", "units", "words"},
        "experiment": {"cc", "errors", "expect", "job", "names", "units", "words"},
    },
    {
        "engine": {"errors", "job", "names", "store", "words"},
        "evaluation": {"analysis", "errors", "expect", "job", "store", "units"},
        "live": {"agent", "job", "words"},
        "plan": {"agent", "analysis", "errors", "experiment", "job", "store", "units", "words"},
    },
    {
        "bundle": {"engine", "errors", "job", "store"},
        "export": {"analysis", "errors", "evaluation", "job", "store"},
        "report": {"analysis", "errors", "evaluation", "experiment", "job", "store", "units", "words"},
        "run": {"analysis", "cc", "engine", "errors", "evaluation", "job", "names", "plan", "store", "version"},
    },
    {
        "api": {
            "analysis",
            "bundle",
            "engine",
            "errors",
            "evaluation",
            "experiment",
            "export",
            "job",
            "plan",
            "report",
            "run",
            "store",
        },
        "compare": {"analysis", "errors", "evaluation", "job", "names", "report", "store", "units"},
    },
    {
        "artifact": {"bundle", "engine", "errors", "job", "store", "version"},
        "bisect": {"compare", "errors", "store"},
        "grade": {
            "api",
            "bundle",
            "cc",
            "engine",
            "errors",
            "evaluation",
            "expect",
            "experiment",
            "job",
            "plan",
            "report",
            "run",
            "store",
            "units",
            "version",
            "words",
        },
        "site": {"api", "errors", "report", "store", "words"},
        "watch": {"engine", "errors", "experiment", "job", "report", "units"},
    },
    {
        "cli": {
            "api",
            "artifact",
            "bundle",
            "bisect",
            "cc",
            "compare",
            "engine",
            "errors",
            "evaluation",
            "experiment",
            "export",
            "grade",
            "job",
            "plan",
            "report",
            "run",
            "site",
            "store",
            "units",
            "version",
            "watch",
            "words",
            "workflows",
        },
        "testing": {"api", "errors", "evaluation", "experiment"},
    },
)
"""The parts of ``lab`` from the lowest layer to the highest, and the other parts that each of them may import."""

ALLOWED = {part: others for floor in FLOORS for part, others in floor.items()}

EXPERIMENT = ("schema", "resolve", "check", "read")
"""The parts of ``lab.experiment``; each of them may import only those before it."""


@cache
def sources() -> dict[str, ast.Module]:
    """Return the syntax tree of each module, by the module's name."""
    found = {}
    for path in sorted((ROOT / "lab").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@cache
def imports(module: str, *, at_once: bool = False) -> frozenset[str]:
    """Return the names of all modules that *module* imports, directly and anywhere in its source.

    With *at_once*, imports inside functions and under ``TYPE_CHECKING`` are left out: they do not take place when
    *module* itself is imported.
    """
    tree = sources()[module]
    found = set()
    for node in _outside_functions(tree) if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            # ``from lab.engine.vm import qemu`` imports the module lab.engine.vm.qemu, so do not count lab.engine.vm.
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in full if name in sources()} or {node.module}
    return frozenset(found)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _outside_functions(child)


def within(name: str, packages: Iterable[str]) -> bool:
    """Return whether the module *name* is one of *packages*, or inside one of them."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def modules_of(*packages: str) -> list[str]:
    """Return the names of all modules in *packages*."""
    found = [module for module in sources() if within(module, packages)]
    assert found, f"there is no module in {packages}"
    return found


def test_a_part_imports_from_lower_floors_only() -> None:
    below: set[str] = set()
    for floor in FLOORS:
        assert all(others <= below for others in floor.values())
        below |= floor.keys()
    parts = {path.stem for path in (ROOT / "lab").iterdir() if not path.name.startswith("__")}
    assert parts == below


def test_the_root_of_the_package_has_few_modules() -> None:
    assert len(list((ROOT / "lab").glob("*.py"))) <= 6


@pytest.mark.parametrize("module", sources(), ids=lambda name: name)
def test_a_part_imports_what_it_may(module: str) -> None:
    if module == "lab":
        return
    part = module.split(".")[1]
    used = {name.split(".")[1] for name in imports(module) if within(name, ["lab"]) and name != "lab"}
    assert used - {part} <= ALLOWED[part]


def test_a_plan_needs_no_more_of_the_analysis_than_what_is_random() -> None:
    used = {name for module in modules_of("lab.plan") for name in imports(module) if within(name, ["lab.analysis"])}
    assert used == {"lab.analysis.randomness"}


def test_the_parts_of_an_experiment_are_in_order() -> None:
    for module in modules_of("lab.experiment"):
        part = module.removeprefix("lab.experiment").strip(".").split(".")[0]
        below = EXPERIMENT[: EXPERIMENT.index(part) + 1] if part else ()
        own = {name.split(".")[2] for name in imports(module) if within(name, ["lab.experiment"])}
        assert own <= set(below), module


def test_only_one_part_of_an_experiment_touches_files() -> None:
    for module in modules_of("lab.experiment.schema", "lab.experiment.resolve", "lab.experiment.check"):
        assert not uses(module, "open"), module


def test_what_goes_into_the_guest_needs_nothing_that_stays_outside() -> None:
    for module in modules_of("lab.agent", "lab.job"):
        own = {name for name in imports(module) if within(name, ["lab"])}
        assert all(within(name, ["lab.agent", "lab.job"]) for name in own), f"{module}: {sorted(own)}"


def test_only_the_standard_library_mininet_and_bcc_go_into_the_guest() -> None:
    known = sys.stdlib_module_names | {"lab", "mininet", "bcc"}
    for module in modules_of("lab.agent", "lab.job", "lab.live"):
        assert {name.partition(".")[0] for name in imports(module)} <= known, module


def test_a_page_whose_figures_are_in_the_cache_needs_no_matplotlib() -> None:
    # Loading it takes longer than everything else that happens for such a report.
    waiting, seen = ["lab.report.build"], set[str]()
    while waiting:
        module = waiting.pop()
        if module in sources() and module not in seen:
            seen.add(module)
            waiting += imports(module, at_once=True)
            assert not any(within(name, ["matplotlib"]) for name in imports(module, at_once=True)), module
    assert {"lab.report.page.content", "lab.report.charts.views"} <= seen


def test_charts_know_nothing_of_the_page() -> None:
    for module in modules_of("lab.report.charts"):
        above = ["lab.report.page", "lab.report.tables", "lab.report.build"]
        assert not any(within(name, above) for name in imports(module)), module


@pytest.mark.parametrize("module", ["lab.run.runner", "lab.run.verify", "lab.run.repeat"])
def test_what_runs_trials_knows_no_engine_but_what_engines_are(module: str) -> None:
    assert {name for name in imports(module) if within(name, ["lab.engine"])} == {"lab.engine.base"}


def test_mininet_and_bcc_are_imported_where_they_are_installed() -> None:
    users = {module for module in sources() if any(within(name, ["mininet", "bcc"]) for name in imports(module))}
    assert users
    assert all(within(module, ["lab.agent"]) for module in users)


def test_only_one_module_speaks_to_bcc() -> None:
    assert [module for module in sources() if any(within(name, ["bcc"]) for name in imports(module))] == [
        "lab.agent.collectors.bcc_loader"
    ]


def test_only_one_module_knows_where_the_bpf_programs_are() -> None:
    # An installed package has them in another place than a checkout, so a path that is written out elsewhere is wrong.
    users = set()
    for folder in ("lab", "tests", "benchmarks", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                joined = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and node.right
                if isinstance(joined, ast.Constant) and str(joined.value).split("/")[0] == "bpf":
                    users.add(str(path.relative_to(ROOT)))
    # The tests make such folders of their own, in temporary places.
    assert users == {"lab/job/bpf_sources.py", "tests/live/test_programs.py", "tests/unit/job/test_bpf_sources.py"}


def test_there_is_no_cycle() -> None:
    graph = {module: {name for name in imports(module) if name in sources()} - {module} for module in sources()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    # ``lab check`` and error messages should appear without delay.
    seen = imported_at_once("lab.cli")
    for module in seen:
        assert not any(within(name, HEAVY) for name in imports(module, at_once=True)), module
    assert "lab.cli.running.experiments" in seen


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    # Every command imports the package, whose public names are imported when they are used.
    assert imported_at_once("lab") == {"lab"}
    code = "import sys, lab; print(*sorted(name for name in sys.modules if name.startswith('lab')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["lab"]


HEAVY = {"matplotlib", "pyarrow", "numpy", "qemu.qmp", "pandas", "polars"}


def imported_at_once(module: str) -> set[str]:
    """Return the modules of ``lab`` that are imported when *module* is, itself included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in sources():
            continue
        seen.add(name)
        waiting += imports(name, at_once=True)
    return seen


def uses(module: str, name: str) -> bool:
    """Return whether the source of *module* contains the identifier *name*."""
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(sources()[module]))


def test_only_the_command_line_prints_and_picks_exit_codes() -> None:
    # These modules are programs of their own, started by the engines, by the agent, or by ``lab trace``.
    command_lines = {"lab.agent.__main__", "lab.live.__main__", "lab.agent.traffic.latency_probe_ends"}
    # lab.agent.guest.shell is the console of ``lab shell``.
    command_lines |= {"lab.agent.traffic.short_flow_ends", "lab.agent.guest.shell"}
    printing = {module for module in sources() if uses(module, "print")}
    assert {module for module in printing if not within(module, ["lab.cli"])} <= command_lines
    exits = {
        module
        for module in sources()
        if module != "lab.errors" and any(node.startswith("EXIT_") for node in _names(module))
    }
    assert {module for module in exits if not within(module, ["lab.cli"])} == {"lab.live.__main__"}


def _names(module: str) -> Iterator[str]:
    """Yield all identifiers, attributes and imported names in the source of *module*."""
    for node in ast.walk(sources()[module]):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def test_no_function_is_longer_than_a_screen() -> None:
    for folder in ("lab", "tests", "benchmarks", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.end_lineno is not None
                    assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"


def test_every_file_says_whose_licence_it_has_and_stays_short() -> None:
    paths = [path for folder in ("lab", "tests", "bpf", "benchmarks") for path in (ROOT / folder).rglob("*")]
    sources_ = [path for path in paths if path.suffix in (".py", ".c", ".h", ".sh", ".css", ".js")]
    # What others wrote is as they released it; a test compares it with its digest.
    sources_ = [path for path in sources_ if not (path.parent / "vendored.json").is_file()]
    assert len(sources_) > 60
    for path in sources_:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not lines or any("SPDX-License-Identifier" in line for line in lines[:2]), path
        assert len(lines) < 500, path
