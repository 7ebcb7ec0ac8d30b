"""Mutations of Python source: one small change each, as text in the place of a node of the syntax tree.

Annotations, docstrings, decorators, f-strings, asserts and calls of a log are left alone: they change nothing that a
test should see. A mutation that does not compile is left out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: (r"<", ("<=", ">=")),
    ast.LtE: (r"<=", ("<", ">")),
    ast.Gt: (r">", (">=", "<=")),
    ast.GtE: (r">=", (">", "<")),
    ast.Eq: (r"==", ("!=",)),
    ast.NotEq: (r"!=", ("==",)),
    ast.Is: (r"is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)),
    ast.In: (r"in", ("not in",)),
    ast.NotIn: (r"not\s+in", ("in",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
LOGS = {"_log", "logging", "warnings"}


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change of one file.

    Attributes:
        path: of the file, as it was given.
        function: qualified name of the function or class that it is in; empty at the top of the module.
        lines: first and last line of the statement, of which tests have to execute one to see the change.
        start, end: of the bytes that are replaced.
        old, new: the text before and after.
        kind: of the change.
        line: the source line at `start`, for people.
        number: distinguishes equal changes of equal lines in a function.
    """

    path: str
    function: str
    lines: tuple[int, int]
    start: int
    end: int
    old: str
    new: str
    kind: str
    line: str
    number: int = 0

    @property
    def imported(self) -> bool:
        """Whether it is executed when the module is imported: at its top, or in the body of a class."""
        return self.function.rpartition(".")[2].lstrip("_")[:1].isupper() or not self.function

    @property
    def id(self) -> str:
        """Stays the same while the line stays: a change elsewhere in the file does not change it."""
        parts = (self.path, self.function, self.line, self.kind, self.old, self.new, str(self.number))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def apply(self, source: bytes) -> bytes:
        """The mutated source."""
        return source[: self.start] + self.new.encode() + source[self.end :]

    def __str__(self) -> str:
        change = f"{_short(self.old)} -> {_short(self.new)}"
        return f"{self.path}:{self.lines[0]} ({self.function or 'module'}): {self.kind}: {change} in {self.line!r}"


@functools.cache
def mutations(source: bytes, path: str) -> Sequence[Mutation]:
    """All mutations of a file that compile, in the order of their places."""
    finder = _Finder(source, path)
    finder.visit(ast.parse(source))
    found: list[Mutation] = []
    seen: Counter[tuple[str, ...]] = Counter()
    for each in sorted(finder.found, key=lambda each: (each.start, each.end, each.new)):
        if not _compiles(each.apply(source)):
            continue
        same = (each.function, each.line, each.kind, each.old, each.new)
        found.append(
            Mutation(
                **{name: getattr(each, name) for name in Mutation.__dataclass_fields__ if name != "number"},
                number=seen[same],
            )
        )
        seen[same] += 1
    return tuple(found)


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutated", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else f"{words[:57]}..."


class _Finder(ast.NodeVisitor):
    """Collects mutations; `_lines` and `_names` are those of the statement and the definitions that it is in."""

    def __init__(self, source: bytes, path: str) -> None:
        self._source = source
        self._path = path
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._names: list[str] = []
        self._lines = (1, 1)
        self.found: list[Mutation] = []

    def visit(self, node: ast.AST) -> None:
        """One node: its statement's lines first, then its mutations and its children."""
        if isinstance(node, ast.stmt):
            self._lines = _extent(node)
        if _left_alone(node):
            return
        for start, end, new, kind in self._changes(node):
            self._add(start, end, new, kind)
        lines = self._lines
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named:
            self._names.append(node.name)  # type: ignore[attr-defined]
        unpacked = isinstance(node, ast.Assign) and any(isinstance(each, ast.Tuple) for each in node.targets)
        for child in _children(node):
            if unpacked and isinstance(child, ast.Tuple):  # with an element less it could not be unpacked
                for each in child.elts:
                    self.visit(each)
            else:
                self.visit(child)
            self._lines = lines
        if named:
            self._names.pop()

    def _changes(self, node: ast.AST) -> Iterator[tuple[int, int, str, str]]:  # noqa: PLR0912 - a case for each kind
        match node:
            case ast.Compare():
                yield from self._comparisons(node)
            case ast.BoolOp():
                yield from self._booleans(node)
            case ast.UnaryOp(op=ast.Not()):
                yield self._start(node), self._start(node) + 3, "", "not dropped"
            case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
                yield self._start(node), self._start(node) + 1, "", "sign dropped"
            case ast.BinOp(left=left, op=op, right=right):
                yield from self._operator(left, op, right)
            case ast.AugAssign(target=target, op=op, value=value):
                yield from self._operator(target, op, value)
            case ast.Constant(value=value):
                yield from self._constants(node, value)
            case ast.If() | ast.IfExp():
                yield from self._forced(node.test)
            case ast.While():
                yield (*self._span(node.test), "False", "condition forced")
            case ast.comprehension():
                for test in node.ifs:
                    yield from self._forced(test)
            case ast.match_case(guard=ast.expr() as guard):
                yield from self._forced(guard)
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield (*self._span(node.func), CALLS[name], "function swapped")
            case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set():
                yield from self._dropped([self._span(each) for each in node.elts])
            case ast.Dict():
                pairs = zip(node.keys, node.values, strict=True)
                spans = [(self._pair(key, value), self._span(value)[1]) for key, value in pairs]
                yield from self._dropped(spans)
            case ast.stmt():
                yield from self._statements(node)

    def _comparisons(self, node: ast.Compare) -> Iterator[tuple[int, int, str, str]]:
        operands = [node.left, *node.comparators]
        for number, op in enumerate(node.ops):
            pattern, others = COMPARISONS[type(op)]
            start, end = self._gap(operands[number], operands[number + 1], pattern)
            for other in others:
                yield start, end, other, "comparison"

    def _booleans(self, node: ast.BoolOp) -> Iterator[tuple[int, int, str, str]]:
        both = isinstance(node.op, ast.And)
        for before, after in zip(node.values, node.values[1:], strict=False):
            yield (*self._gap(before, after, "and" if both else "or"), "or" if both else "and", "and/or")
        for operand in (each for each in node.values if not isinstance(each, ast.Constant)):
            yield (*self._span(operand), str(both), "operand without effect")

    def _operator(self, left: ast.expr, op: ast.operator, right: ast.expr) -> Iterator[tuple[int, int, str, str]]:
        old, new = ARITHMETIC[type(op)]
        start, end = self._gap(left, right, re.escape(old))
        yield start, end, new, "arithmetic"

    def _constants(self, node: ast.expr, value: object) -> Iterator[tuple[int, int, str, str]]:
        match value:
            case bool():
                yield (*self._span(node), str(not value), "truth")
            case int():
                yield (*self._span(node), str(value + 1), "number")
            case float():
                yield (*self._span(node), repr(value * 2), "number")
                yield (*self._span(node), repr(value / 2), "number")

    def _forced(self, test: ast.expr) -> Iterator[tuple[int, int, str, str]]:
        for truth in ("True", "False"):
            yield (*self._span(test), truth, "condition forced")

    def _dropped(self, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, str, str]]:
        if len(spans) < 2:
            return
        for number, (start, _) in enumerate(spans):
            last = number == len(spans) - 1
            yield *((spans[-2][1], spans[-1][1]) if last else (start, spans[number + 1][0])), "", "element dropped"

    def _statements(self, node: ast.stmt) -> Iterator[tuple[int, int, str, str]]:
        match node:
            case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Delete():
                yield (*self._span(node), "pass", "statement dropped")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield (*self._span(node), "pass", "statement dropped")
            case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
                yield (*self._span(value), "None", "result dropped")
            case ast.Break():
                yield (*self._span(node), "continue", "break/continue")
            case ast.Continue():
                yield (*self._span(node), "break", "break/continue")

    def _start(self, node: ast.AST) -> int:
        return self._starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def _pair(self, key: ast.expr | None, value: ast.expr) -> int:
        """Where a key and its value begin, or ``**`` of a dictionary that is taken in."""
        return self._source.rfind(b"**", 0, self._start(value)) if key is None else self._start(key)

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return self._start(node), self._starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def _gap(self, before: ast.AST, after: ast.AST, pattern: str) -> tuple[int, int]:
        """The place of an operator between two operands, beside which there may be parentheses and comments."""
        first, last = self._span(before)[1], self._start(after)
        text = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment[0]), self._source[first:last])
        found = re.search(pattern.encode(), text)
        assert found is not None, (self._path, text, pattern)
        return first + found.start(), first + found.end()

    def _add(self, start: int, end: int, new: str, kind: str) -> None:
        old = self._source[start:end].decode()
        if old == new:
            return
        number = self._source.count(b"\n", 0, start)
        line = self._source[self._starts[number] : self._starts[number + 1]].decode().strip()
        self.found.append(Mutation(self._path, ".".join(self._names), self._lines, start, end, old, new, kind, line))


def _extent(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement; of a compound one, those before its body."""
    body = getattr(node, "body", None)
    if isinstance(node, ast.Match):
        return node.lineno, node.subject.end_lineno or node.lineno
    if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
        return node.lineno, max(node.lineno, body[0].lineno - 1)
    return node.lineno, node.end_lineno or node.lineno


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that are run."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST):
                yield each


def _left_alone(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom() | ast.pattern():
            return True
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name(id="TYPE_CHECKING")):  # a docstring; types
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in LOGS
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.ClassDef(bases=[ast.Name(id="Protocol")]):
            return True
    return False
