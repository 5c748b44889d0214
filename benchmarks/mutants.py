"""Mutation testing: change one operator, number or condition at a time, and see whether a test notices.

    python benchmarks/mutants.py [--minutes 20] [--only gate] [--seed 0]

Each mutant lives in memory alone: a forked process compiles the changed module in place of the file and runs the
module's own tests until one fails. Mutants are drawn at random, of each module in turn, until the time is up. A
survivor that has been judged stands in ``benchmarks/survivors.txt``, with the reason; exit code 1 if there are others.

Meant for what decides results or who may do what: scorers, fusion, thresholds, evaluation, head, mixtures, aggregation,
codecs, gate, delivery of messages.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from itertools import zip_longest
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
JUDGED = Path(__file__).with_name("survivors.txt")
REWRITTEN = "ignore::pytest.PytestAssertRewriteWarning"  # libraries are imported before all forks
SECONDS = (
    120  # of processor time: a mutant that takes longer loops, and a test notices; one that waits gets ten times that
)
TESTS: dict[str, list[str]] = {
    "collab_asd/detection/scorers/neighbours.py": ["detection/scorers"],
    "collab_asd/detection/scorers/gaussian.py": ["detection/scorers", "detection/test_second_order.py"],
    "collab_asd/detection/scorers/__init__.py": ["detection/scorers"],
    "collab_asd/data/partitions.py": [
        "data/test_mixtures.py",
        "data/test_partition.py",
        "federation/test_clip_numbers.py",
    ],
    "collab_asd/detection/thresholds.py": ["detection/scorers/test_threshold.py"],
    "collab_asd/detection/evaluation.py": ["test_evaluation.py"],
    "collab_asd/classifier/training.py": ["classifier/test_training.py"],
    "collab_asd/methods/embedding_sharing/screening.py": ["methods/embedding_sharing/test_screening.py"],
    "collab_asd/methods/covariance_sharing/sums.py": ["methods/covariance_sharing/test_sums.py"],
    "baselines/fedavg/algorithm.py": ["../baselines/test_fedavg.py"],
    "baselines/fedavg/client.py": ["../baselines/test_fedavg.py"],
    "collab_asd/federation/delivery.py": ["federation/test_delivery.py"],
    "collab_asd/wire/codecs/codec.py": ["wire/codecs"],
    "collab_asd/wire/codecs/stages.py": ["wire/codecs"],
    "collab_asd/wire/codecs/statistics.py": ["wire/codecs"],
    "collab_asd/deployment/gate.py": ["deployment/test_gate.py"],
}
SWAPPED: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
RENAMED = {"all": "any", "any": "all", "min": "max", "max": "min"}
SILENT = (ast.Raise, ast.JoinedStr, ast.AnnAssign, ast.arguments, ast.ImportFrom, ast.Import)
"""What is left alone, beside decorators and what is for types: messages, annotations, defaults."""


class Mutant(NamedTuple):
    """One change: where, and what it makes of which source line."""

    module: str
    line: int
    change: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """What stands in the list of survivors: no line number, which would move."""
        return f"{self.module}: {self.change}"


def mutants_of(module: str) -> list[Mutant]:
    """Return all mutants of a module."""
    text = (ROOT / module).read_text(encoding="utf-8")
    tree, lines, found = ast.parse(text), text.splitlines(), []
    for number, (node, changed) in enumerate(_changes(tree)):
        mutated = copy.deepcopy(tree)
        _apply(mutated, number)
        before, after = (ast.unparse(part).splitlines()[0][:100] for part in (node, changed))
        line = getattr(node, "lineno", 1)
        found.append(Mutant(module, line, f"{before} -> {after}, in: {lines[line - 1].strip()}", mutated))
    return found


def _changes(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each node that can be changed, and what becomes of it; nothing in the tree is changed."""
    for node in _open(tree):
        for changed in _variants(node):
            yield node, changed


def _open(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if (
            not isinstance(child, SILENT)
            and not _is_docstring(child)
            and not _is_for_types(child)
            and child not in getattr(node, "decorator_list", ())
        ):
            yield child
            yield from _open(child)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    changed = copy.deepcopy(node)
    match changed:
        case ast.Compare(ops=[op]) if type(op) in SWAPPED:
            changed.ops = [SWAPPED[type(op)]()]
            yield changed
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPPED:
            changed.op = SWAPPED[type(op)]()
            yield changed
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield changed.operand
        case ast.Constant(value=bool()):
            changed.value = not changed.value
            yield changed
        case ast.Constant(value=int() | float() as value):
            changed.value = value + 1
            yield changed
        case ast.Call(func=ast.Name(id=name)) if name in RENAMED:
            changed.func = ast.Name(RENAMED[name], ast.Load())
            yield changed
        case ast.If() | ast.IfExp():
            changed.test = ast.UnaryOp(ast.Not(), changed.test)
            yield changed


def _apply(tree: ast.Module, number: int) -> None:
    """Carry out the change with this number, in place."""
    node, changed = next(pair for n, pair in enumerate(_changes(tree)) if n == number)
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, changed)
            elif isinstance(value, list) and any(item is node for item in value):
                value[next(i for i, item in enumerate(value) if item is node)] = changed
    ast.fix_missing_locations(tree)


def passes(module: str, tree: ast.Module | None) -> bool:
    """Whether a module's tests pass with this tree in its place, in a forked process."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(10 * SECONDS)  # it waits
    status = 1
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        original = SourceFileLoader.get_code

        def get_code(self: SourceFileLoader, name: str) -> CodeType | None:
            if tree is not None and Path(self.path) == ROOT / module:
                return compile(tree, self.path, "exec")
            return original(self, name)

        SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
        tests = [os.path.normpath(ROOT / "tests/collab_asd" / test) for test in TESTS[module]]
        quiet = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-W", REWRITTEN]
        try:
            status = int(pytest.main([*quiet, *tests]))
        finally:
            os._exit(status)


def load_libraries() -> None:
    """Import what tests import once, before all forks, and forget what is ours."""
    for module in TESTS:
        importlib.import_module(module.removesuffix(".py").replace("/", "."))
    importlib.import_module("hypothesis")
    importlib.import_module("httpx")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("collab_asd", "baselines")]:
        del sys.modules[name]


def main() -> int:
    """Print survivors, and how many of how many were noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--only", default="", help="modules whose path holds this")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    load_libraries()
    judged = {line.rpartition("  # ")[0] for line in JUDGED.read_text().splitlines()} if JUDGED.exists() else set()
    modules = [module for module in TESTS if args.only in module]
    for module in modules:
        if not passes(module, None):
            print(f"{module}: its tests fail as it is")
            return 2
    print(f"the tests of {len(modules)} modules pass; what survives is told as it is found", flush=True)
    drawn = random.Random(args.seed)
    own = [mutants_of(module) for module in modules]
    turns = zip_longest(*(drawn.sample(mutants, len(mutants)) for mutants in own))
    mutants = [mutant for turn in turns for mutant in turn if mutant]
    end, tried, new, known = time.monotonic() + 60 * args.minutes, 0, 0, 0
    for mutant in mutants:
        if time.monotonic() > end:
            break
        tried += 1
        if passes(mutant.module, mutant.tree):
            known += mutant.name in judged
            new += mutant.name not in judged
            if mutant.name not in judged:
                print(f"survived, line {mutant.line}: {mutant.name}", flush=True)
    print(f"{tried} of {len(mutants)} mutants tried: {tried - new - known} noticed, {known} judged, {new} to judge")
    return int(new > 0)


if __name__ == "__main__":
    sys.exit(main())
