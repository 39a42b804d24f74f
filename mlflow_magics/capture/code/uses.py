"""Says what a cell does with each name that it reads: hands it to a call, compares it, prints it, writes to it.

Names are told apart by their spelling alone: a local of a function that is called like one of the cell counts for it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .syntax import MUTATORS, root_of

Use = Literal["told", "compared", "written", "scored", "handed", "key", "computed"]
"""Printed or drawn; in a comparison; a file's name that is written to; an argument of a measure, of any other call;
in a subscript; anything else."""

TELLERS = frozenset(
    {
        *("print", "display", "pprint", "rprint", "echo", "secho", "info", "debug", "warning", "warn", "error"),
        *("critical", "exception", "set_description", "set_postfix", "set_postfix_str", "add_row", "title", "report"),
        *("record", "track", "tell", "log_metric", "log_metrics", "log_param", "log_params", "add_scalar"),
    }
)
"""Functions and methods that only tell what they are given."""

LOGGERS = re.compile(r"_?(logger|logging|log|console|wandb|pbar|bar|plt|pyplot|sns|fig\w*|axs?\d*|axe?s)")
"""Names whose methods tell, whatever they are called: loggers, and what is drawn on."""

WRITERS = frozenset(
    {
        *("savefig", "save", "dump", "savez", "savez_compressed", "savetxt", "imsave", "imwrite", "save_model"),
        *("save_pretrained", "save_weights", "save_to_disk", "write_html", "write_image", "write_csv", "write_parquet"),
        *("makedirs", "mkdir", "FileHandler", "SummaryWriter", "ExcelWriter", "CSVLogger", "ModelCheckpoint"),
        *("to_csv", "to_parquet", "to_pickle", "to_json", "to_excel", "to_feather", "to_hdf", "to_html", "to_latex"),
        *("to_markdown", "to_stata", "to_orc", "to_file", "export_text", "export_graphviz", "log_artifact"),
    }
)
"""Calls that write to the path that they are given."""

PATH_WRITERS = frozenset({"write_text", "write_bytes", "mkdir", "touch", "rmdir", "unlink"})
"""Methods of a path that write to it."""

LOOKERS = frozenset({"exists", "isdir", "isfile", "is_dir", "is_file", "remove", "rmtree", "basename", "dirname"})
"""Calls that only look whether a path is there, before it is written to."""

KEEPERS = frozenset(
    {
        *("int", "float", "str", "bool", "round", "abs", "list", "tuple", "dict", "set", "sorted", "copy", "deepcopy"),
        *("Path", "PurePath", "join", "joinpath", "with_suffix", "with_name", "with_stem", "resolve", "absolute"),
        *("expanduser", "as_posix", "item", "tolist", "astype"),
    }
)
"""Calls whose result is what they were given, in another form."""

ASKERS = frozenset({"len", "isinstance", "type", "id", "min", "max", "sum", "any", "all", "zip", "enumerate"})
ARITHMETIC = frozenset({"math", "np", "numpy"})
MEASURES = re.compile(r".*_(score|error|loss|report|matrix|curve|deviance)s?")


@dataclass(frozen=True)
class Uses:
    """What becomes of the names of a cell.

    Attributes
    ----------
    how : mapping of str to set of str
        For each name that is read, its uses.
    held : mapping of str to set of str
        To the names that hold it: an alias, a container, a conversion.
    made : mapping of str to set of str
        To the names that an operation or a text made of it.
    """

    how: Mapping[str, set[Use]] = field(default_factory=dict)
    held: Mapping[str, set[str]] = field(default_factory=dict)
    made: Mapping[str, set[str]] = field(default_factory=dict)

    def is_handed(self, name: str) -> bool:
        """Tell whether a name, or one that holds it, is an argument of a call that is more than arithmetic."""
        return any("handed" in self.how.get(one, ()) for one in _closure(name, [self.held]))

    def is_written(self, name: str) -> bool:
        """Tell whether a name, or the paths that are made of it, is only written to (or told)."""
        names = _closure(name, [self.held, self.made])
        found: set[Use] = {use for one in names for use in self.how.get(one, ()) if not self._passes(one, use)}
        return "written" in found and found <= {"written", "told"}

    def _passes(self, name: str, use: Use) -> bool:
        """Tell whether a use says nothing by itself: what the name was made into has its own."""
        return use == "computed" and bool(self.held.get(name) or self.made.get(name))


def _closure(name: str, graphs: list[Mapping[str, set[str]]]) -> set[str]:
    found, waiting = {name}, [name]
    while waiting:
        one = waiting.pop()
        fresh = {other for graph in graphs for other in graph.get(one, ())} - found
        found |= fresh
        waiting += fresh
    return found


def uses_of(tree: ast.Module) -> Uses:
    """Read what a cell does with its names.

    Parameters
    ----------
    tree : ast.Module
        The cell.

    Returns
    -------
    Uses
        Of all names that are read anywhere in it.
    """
    found = _Reader()
    found.read(tree)
    return Uses(found.how, found.held, found.made)


@dataclass(frozen=True)
class _Place:
    """Where an expression stands: what is done with its value, and which names take it in."""

    use: Use = "computed"
    targets: tuple[str, ...] = ()
    whole: bool = True

    def part(self) -> _Place:
        """Give the place of what is only worked into the value."""
        return _Place(self.use, self.targets, whole=False)

    def used(self, use: Use) -> _Place:
        """Give the place of what is used so; what is told or written is so with all its parts."""
        return _Place(self.use if self.use in {"told", "written"} else use)


_NOWHERE = _Place()


class _Reader:
    """Goes through the code with a list of its own, so that no long sum is a deep recursion."""

    def __init__(self) -> None:
        self.how: dict[str, set[Use]] = {}
        self.held: dict[str, set[str]] = {}
        self.made: dict[str, set[str]] = {}

    def read(self, tree: ast.AST) -> None:
        waiting: list[tuple[ast.AST, _Place]] = [(tree, _NOWHERE)]
        while waiting:
            node, place = waiting.pop()
            if isinstance(node, ast.Name):
                self._name(node, place)
            else:
                waiting += self._parts(node, place)

    def _name(self, node: ast.Name, place: _Place) -> None:
        if isinstance(node.ctx, ast.Load):
            self.how.setdefault(node.id, set()).add(place.use)
            graph = self.held if place.whole else self.made
            for target in place.targets:
                graph.setdefault(node.id, set()).add(target)

    def _parts(self, node: ast.AST, place: _Place) -> Iterator[tuple[ast.AST, _Place]]:
        match node:
            case ast.Assign(targets=targets, value=value):
                yield value, _Place(targets=tuple(name for target in targets for name in _roots(target)))
                yield from ((target, _NOWHERE) for target in targets)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield value, _Place(targets=tuple(_roots(target)))
                yield target, _NOWHERE
            case ast.AugAssign(target=target, value=value):
                yield value, _Place(targets=tuple(_roots(target)), whole=False)
                if isinstance(target, ast.Name):
                    self.how.setdefault(target.id, set()).add("computed")
                yield target, _NOWHERE
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                yield value, _Place(place.use, (*place.targets, name), place.whole)
            case ast.Expr(value=value):
                yield value, _Place("told")
            case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test):
                yield test, _Place("compared")
                yield from ((part, _NOWHERE) for part in ast.iter_child_nodes(node) if part is not test)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                yield test, _Place("compared")
                yield from ((body, place), (orelse, place))
            case ast.Call():
                yield from self._call(node, place)
            case ast.Dict() if place.use == "written":
                yield from ((part, _Place("handed")) for part in ast.iter_child_nodes(node))  # what is saved, no path
            case ast.Compare():
                yield from ((part, place.used("compared")) for part in ast.iter_child_nodes(node))
            case ast.JoinedStr():
                told = _Place("written" if place.use == "written" else "told", place.targets, whole=False)
                yield from ((part, told) for part in node.values)
            case ast.Subscript(value=value, slice=key):
                yield from ((value, place), (key, _Place("key")))
            case ast.BinOp() | ast.UnaryOp() | ast.BoolOp():
                yield from ((part, place.part()) for part in ast.iter_child_nodes(node))
            case (
                ast.List() | ast.Tuple() | ast.Set() | ast.Dict() | ast.Starred() | ast.keyword() | ast.Attribute()
            ) | (ast.Await() | ast.FormattedValue()):
                yield from ((part, place) for part in ast.iter_child_nodes(node))
            case _:
                yield from ((part, _NOWHERE) for part in ast.iter_child_nodes(node))

    def _call(self, node: ast.Call, place: _Place) -> Iterator[tuple[ast.AST, _Place]]:
        func = node.func
        name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
        root = root_of(func)
        owner = root.id if root is not None and isinstance(func, ast.Attribute) else ""
        is_direct = isinstance(func, ast.Attribute) and func.value is root
        given = [*node.args, *node.keywords]
        if name in {"run_line_magic", "run_cell_magic"}:
            yield from ((part, _NOWHERE) for part in _code_of(node))
            return
        base = _NOWHERE
        if name in WRITERS or (name == "open" and _writes(node)):
            inner = _Place("written")
            base = inner if name == "mkdir" or (name == "open" and owner) else base
        elif name in PATH_WRITERS and isinstance(func, ast.Attribute):
            inner, base = _Place("handed"), _Place("written")
        elif name in LOOKERS:
            inner = base = _Place("told")
        elif name in TELLERS or LOGGERS.fullmatch(owner):
            inner = _Place("told")
        elif name == "format" and isinstance(func, ast.Attribute):
            inner = _Place("written" if place.use == "written" else "told", place.targets, whole=False)
        elif name in MUTATORS and owner:
            inner = _Place(targets=(owner,))
        elif name in KEEPERS:
            inner = base = _Place(place.use, place.targets, place.whole and name != "join")
        elif name in ASKERS or (owner in ARITHMETIC and is_direct):  # not np.random.seed
            inner = place.part()
        elif MEASURES.fullmatch(name):
            inner = _Place("scored")
        else:
            inner = _Place("handed")
        yield from ((part, inner) for part in given)
        if isinstance(func, ast.Attribute):
            yield func.value, base
        elif not isinstance(func, ast.Name):
            yield func, _NOWHERE


def _roots(target: ast.expr) -> Iterator[str]:
    """List the names that an assignment's target binds or changes."""
    if isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _roots(part)
    elif isinstance(target, ast.Starred):
        yield from _roots(target.value)
    elif (root := root_of(target)) is not None:
        yield root.id


def _writes(node: ast.Call) -> bool:
    """Tell whether ``open`` is asked to write."""
    at = 0 if isinstance(node.func, ast.Attribute) else 1
    modes = [*node.args[at : at + 1], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes)


def _code_of(node: ast.Call) -> list[ast.stmt]:
    """Read the code that ``%time`` and its like run in the cell's name; nothing where it is none."""
    match node.args:
        case [ast.Constant(value="time" | "capture" | "prun"), *_, ast.Constant(value=str(code))]:
            try:
                return ast.parse(code).body
            except SyntaxError:
                return []
    return []
