"""Says why a value that could be a param or a metric is neither: what was drawn, imported, told, or names something."""

from __future__ import annotations

import pathlib
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping
from typing import Final

from ..code.dataflow import Dataflow
from ..code.symbols import Attribute, Call, Const, Definition, Guarded, Local, Node, Op, Update, alternatives, walk
from ..code.written import names_in
from ..values.inspection import fields_of, is_a
from ..values.kinds import is_scalar
from ..values.writing import number_of, text_of
from .natures import suggests
from .origins import Weigher, Weight

A_SIZE: Final = "a size"
AN_INDEX: Final = "an index"
DRAWN_SETTING: Final = "a setting drawn at random"
DRAWN: Final = "drawn at random"
IMPORTED: Final = "imported from a library"
ONLY_TOLD: Final = "a result of an earlier cell, only compared or printed here"
ONLY_PRINTED: Final = "only printed here"
OUTPUT: Final = "a path that is written to"
NAMES: Final = "a list of names"
LABELS: Final = "a list of labels"

TOLD = {"told", "compared"}

_PATH_NAME = re.compile(
    r"\w+_(?:path|dir|directory|folder|file|filename|saida)|(?:caminho|arquivo|pasta|diretorio)_\w+", re.IGNORECASE
)
_FOLDER_NAME = re.compile(r".*(?:dir|folder|pasta).*", re.IGNORECASE)
_INPUT_NAME = re.compile(
    r"(?:.*_)?(?:data|dataset|input|in|train|test|val|valid|source|src|csv|raw|base|root|config|cfg|pretrained"
    r"|keys?|credentials?|certs?|secrets?|tokens?|log"
    r"|dados|entrada|treino|teste|origem|fonte|chave|credenciais)(?:_.*)?",
    re.IGNORECASE,
)
_PATH_TEXT = re.compile(r"[^\n]*[/\\][^\n]*|[^\s/\\]+\.[A-Za-z]\w{0,5}")
_NAMES_NAME = re.compile(
    r"(?:.*_)?(?:columns|features|labels|classes|targets|categories|colunas|rotulos|categorias)(?:_.*)?"
    r"|(?:class|feature|target|column|label)_names",
    re.IGNORECASE,
)
_LABELS_NAME = re.compile(
    r"y|y_\w+|(?:.*_)?(?:labels?|targets?|classes|preds?|predictions?|truth|rotulos?|alvos?|previsoes)(?:_.*)?",
    re.IGNORECASE,
)


def drawn(name: str, value: object, node: Node, flow: Dataflow, weigher: Weigher) -> tuple[str, str]:
    """Decide on what was drawn at random.

    Parameters
    ----------
    name : str
        The cell's name that holds it.
    value : object
        The value.
    node : Node
        What the name, or the container, is built from.
    flow : Dataflow
        The cell.
    weigher : Weigher
        Weighs its nodes.

    Returns
    -------
    tuple of str
        What it is, ``"param"``, ``"metric"`` or ``"skipped"``, and why.
    """
    in_loop = any(binding.in_loop for binding in flow.bindings.get(name, ()))
    if in_loop and _is_picked(node, weigher):
        return "param", "a drawn setting that a result picked"
    used = flow.uses.how.get(name, set())
    is_setting = flow.uses.is_handed(name) or any(map(suggests, walk(node, _inside)))
    if is_setting or number_of(value) is None:
        return ("skipped" if in_loop else "param"), DRAWN_SETTING
    if _is_bare(node):
        if in_loop or not used <= {"told", "scored"}:
            return "skipped", DRAWN
        # Nothing is made of it. Drawn from a range or a choice it is a setting for the next cell, else a game's end.
        chosen = not used and any(map(_is_from_choice, walk(node, _inside)))
        return ("param", DRAWN_SETTING) if chosen else ("metric", "computed here")
    return "metric", "computed here"


def _is_picked(node: Node, weigher: Weigher) -> bool:
    """Tell whether a result decided which turn's draw a name keeps."""

    def picks(one: Node) -> bool:
        return isinstance(one, Guarded) and any(weigher.weigh(test) is Weight.COMPUTED for test in one.tests)

    return any(map(picks, walk(node, alternatives)))


def _is_from_choice(node: Node) -> bool:
    """Tell whether a draw was given what to draw from: ``uniform(-4, -1)``, ``choice(names)``; not ``random()``."""
    return isinstance(node, Call) and isinstance(node.func, Attribute) and bool(node.args or node.keywords)


def _inside(node: Node) -> Iterable[Node]:
    match node:
        case Local(value=value):
            return (value,)
        case Call(args=args, keywords=keywords):
            return (*args, *(value for _, value in keywords))
        case Op(parts=parts):
            return parts
        case Update(before=before, value=value):
            return (before, value)
    return alternatives(node)


def _is_bare(node: Node) -> bool:
    """Tell whether a value is a draw, converted perhaps, or a power of one: ``10 ** rng.uniform(-4, -1)``."""
    for one in walk(node, _inside):
        if isinstance(one, Op) and one.op not in {"**", "neg"}:
            return all(isinstance(part, Const) for part in one.parts)
    return True


def imported(node: Node | None) -> str | None:
    """Give the module that a name is imported from, in this cell; None where it is not imported."""
    if node is None:
        return None
    found = [one for one in walk(node, alternatives) if isinstance(one, Definition) and one.what == "import"]
    return found[-1].module if found else None


def is_library(module: str) -> bool:
    """Tell whether a module is one that was installed, not one of the notebook's own.

    True also for a module of which nothing is known.
    """
    top = module.partition(".")[0]
    if not top or top in sys.stdlib_module_names:
        return bool(top)  # `from .settings import lr` is the author's
    file = fields_of(sys.modules.get(top)).get("__file__")
    if type(file) is not str:
        return True
    installed = {sysconfig.get_path(key) for key in ("purelib", "platlib", "stdlib")}
    return "site-packages" in file or "dist-packages" in file or any(file.startswith(each) for each in installed)


def module_holding(name: str, value: object) -> str:
    """Find an installed module that has this very object under this name; empty where none does, or it says nothing.

    Of whole numbers and texts Python keeps one object for all, so that only a constant's name tells.
    """
    if not (type(value) is float or (name.isupper() and type(value) in {str, int})):
        return ""
    for module, held in list(sys.modules.items()):
        if module != "__main__" and fields_of(held).get(name) is value and is_library(module):
            return module
    return ""


def only_told(name: str, value: object, flow: Dataflow, namespace: Mapping[str, object]) -> str:
    """Tell how a number that the cell did not make is used, where it is only looked at.

    ``"told"`` where it is printed only, ``"compared"`` where it is compared too; empty where more becomes of it.
    """
    used = flow.uses.how.get(name, set())
    if not used or not used <= TOLD or number_of(value) is None or is_a(value, bool):
        return ""
    if _is_read_by_functions(name, flow, namespace):
        return ""
    return "compared" if "compared" in used else "told"


def _is_read_by_functions(name: str, flow: Dataflow, namespace: Mapping[str, object]) -> bool:
    """Tell whether a function of the notebook that the cell names reads a global: ``print(lr); train()``."""
    waiting, seen = list(flow.names), set[str]()
    while waiting:
        one = waiting.pop()
        held = namespace.get(one)
        if one in seen or type(held) is not types.FunctionType or held.__globals__.get("__name__") != "__main__":
            continue
        seen.add(one)
        read = names_in(held.__code__)
        if name in read:
            return True
        waiting += read
    return False


def is_output(name: str, value: object, flow: Dataflow) -> bool:
    """Tell whether a text or a path says where the cell writes to."""
    if is_a(value, pathlib.PurePath):
        text = text_of(value) or ""
    elif is_a(value, str):
        text = str.__str__(value)[:500]
    else:
        return False
    if flow.uses.is_written(name):
        return True
    if not _PATH_NAME.fullmatch(name) or _INPUT_NAME.fullmatch(name):
        return False
    used = flow.uses.how.get(name, set())
    is_path = _PATH_TEXT.fullmatch(text) is not None or _FOLDER_NAME.fullmatch(name) is not None
    return is_path and used <= {"told"}


def list_reason(name: str, value: object, flow: Dataflow) -> str:
    """Say what a short list names, where it is no setting: columns, labels. Empty where it may be one."""
    bases: tuple[type, ...] = (list, tuple, set, frozenset)
    base = next((one for one in bases if is_a(value, one)), None)
    if base is None:
        return ""
    parts = list(base.__iter__(value))  # type: ignore[attr-defined]  # one of the four
    used = flow.uses.how.get(name, set())
    if parts and all(is_a(part, str) for part in parts):
        # A tuple of texts is a setting as often as not: its name, or a subscript, must say that it is none.
        return NAMES if base is not tuple or "key" in used or _NAMES_NAME.fullmatch(name) else ""
    if not parts or not all(is_scalar(part) for part in parts) or not is_a(value, list):
        return ""
    trained = {one for pair in flow.model_inputs.values() for one in pair}
    return LABELS if name in trained or "scored" in used or _LABELS_NAME.fullmatch(name) else ""
