"""Tells which calls build, train or validate something, and what their parameters are called."""

from __future__ import annotations

import dis
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..code.calls import CallSite
from ..code.symbols import Attribute, Call, External, Free, Local, Node
from ..code.written import names_in
from ..values.inspection import MISSING, bases_of, class_name, dict_of, is_a, module_of
from ..values.secret_names import each
from ..values.signatures import Signature, function_behind, signature_of
from .resolving import callable_name, made_kind, resolve
from .unlogged import is_showing, words


@dataclass(frozen=True)
class Builder:
    """What a call builds or trains with.

    Attributes
    ----------
    name : str
        Of the class, function or method, as the reason says it.
    signature : Signature or None
        Its parameters; None where they are not known.
    is_own : bool
        Whether it is written in the notebook.
    is_layer : bool
        Whether it is one of the many layers of a network.
    """

    name: str
    signature: Signature | None
    is_own: bool = False
    is_layer: bool = False


LIBRARIES: Final = each("""
    sklearn xgboost lightgbm catboost statsmodels torch torchvision torchaudio keras tf_keras tensorflow lightning
    pytorch_lightning transformers peft trl accelerate diffusers sentence_transformers timm optuna hyperopt skopt
    bayes_opt prophet pmdarima sktime darts skorch imblearn flaml gensim fastai stable_baselines3 umap hdbscan
    category_encoders lifelines ngboost river feature_engine mlxtend tabpfn interpret pycaret setfit torch_geometric
    segmentation_models_pytorch ultralytics implicit surprise xgboost_ray torchmetrics monai catalyst econml causalml
""")
"""Libraries whose classes build or train."""

_TORCH: Final = ("torch.nn", "torch.optim", "torch.utils.data", "torch.amp", "torch.cuda.amp")
_NOT: Final = ("torch.nn.parameter", "torch.nn.utils", "transformers.tokenization")
_SHOWS: Final = each(
    "builtins matplotlib seaborn plotly altair bokeh pandas polars numpy IPython ipywidgets mlflow wandb tqdm rich"
)
"""Libraries that have methods called ``fit`` or ``step`` and train nothing."""

_ANYWAY: Final = ("fit", "predict", "forward", "training_step", "train_step", "partial_fit")
_FUNCTIONS: Final = each("""
    train_test_split random_split cross_val_score cross_validate cross_val_predict validation_curve learning_curve
    permutation_test_score train cv fmin create_study create_model pipeline from_formula from_pretrained gp_minimize
    forest_minimize permutation_importance k_means dbscan
""")
"""Functions of those libraries that train, split or validate."""

_METHODS: Final = each("""
    fit partial_fit fit_transform fit_predict fit_resample train compile evaluate optimize learn generate set_params
    finetune fine_tune tune search grid_search randomized_search from_pretrained fit_one_cycle train_model
""")
"""Methods of models whose arguments are settings."""

_SAME: Final = each("fit set_params to eval train partial_fit cuda cpu float half double")
"""Methods that give back their own object."""

VERBS: Final = each("""
    fit predict transform forward step train partial run solve optimize optimise simulate evaluate search generate
    learn call backward build act encode decode sample augment cluster classify regress validate tune split resample
    treinar ajustar prever executar rodar resolver otimizar simular avaliar classificar validar aprender construir
""")
"""First words of the methods of a class that does something with its settings."""

_ASKS: Final = each("""
    step act predict transform forward call backward encode decode classify regress
    prever classificar
""")
"""Those among them whose arguments are data, not settings."""

_OWN_SPECIAL: Final = ("__call__", "__getitem__")

_DRAWS: Final = each("plt pyplot savefig imshow figure subplots plot scatter barplot heatmap show")
_PRINTS: Final = each("print display logger logging to_csv to_json to_excel dump open write savefig save read_csv")
_LOGS: Final = each("log_metric log_metrics log_param log_params log_batch log_artifact log_figure")


def builder_of(site: CallSite, namespace: Mapping[str, object]) -> Builder | None:
    """Tell what a call builds or trains with; None where it does neither."""
    func = site.call.func
    made = resolve(func, namespace)
    if is_a(made, type):
        return _class(made, namespace)
    function = function_behind(made)
    if function is not None:
        return _function(made, function, namespace)
    return _method(func, namespace) if isinstance(func, Attribute) else None


def is_own(value: Any, namespace: Mapping[str, object]) -> bool:
    """Tell whether a function or class is written in the notebook."""
    module = namespace.get("__name__")
    return module_of(value) == (module if type(module) is str else "__main__")


def _class(cls: type, namespace: Mapping[str, object]) -> Builder | None:
    own = is_own(cls, namespace)
    members = _members(cls)
    if BaseException in bases_of(cls) or "_fields" in members:
        return None
    if made_kind(cls) == "config" and members.isdisjoint(_ANYWAY):
        return None  # its object's own fields are logged
    if not (_does(cls) if own else _trains(cls)):
        return None
    module = module_of(cls)
    layer = module.startswith("torch.nn.") or ("keras" in module and ".layers" in module)
    return Builder(class_name(cls), signature_of(cls), own, layer)


def _members(cls: type) -> set[str]:
    return {name for base in bases_of(cls) if base is not object for name in dict_of(base)}


def _does(cls: type) -> bool:
    """Tell whether a class of the notebook is more than data: a model, a trainer, a data set, a simulation."""
    found = _members(cls)
    if not found.isdisjoint(_OWN_SPECIAL) or any(_trains(base) for base in bases_of(cls) if base is not cls):
        return True
    return any(_is_verb(name) for name in found if not name.startswith("_"))


def _trains(cls: type) -> bool:
    module = module_of(cls)
    library = module.partition(".")[0]
    if library in LIBRARIES:
        if module.startswith(_NOT) or "._plot" in module or class_name(cls).endswith("Display"):
            return False
        if library == "torch":
            return module.startswith(_TORCH)
        return library != "tensorflow" or "keras" in module
    return library not in _SHOWS and not _members(cls).isdisjoint(_ANYWAY)


def _function(made: Any, function: types.FunctionType, namespace: Mapping[str, object]) -> Builder | None:
    name = callable_name(function)
    if is_own(function, namespace):
        if name == "<lambda>" or is_showing(name) or (not _is_verb(name) and _only_shows(function)):
            return None
        return Builder(name, signature_of(made), is_own=True)
    module = module_of(function)
    library = module.partition(".")[0]
    builds = name in _FUNCTIONS or module.startswith(("torchvision.models", "timm.models", "keras.src.applications"))
    return Builder(name, signature_of(made)) if library in LIBRARIES and builds else None


def _is_verb(name: str) -> bool:
    """Tell whether a name begins with what is done to a model: ``train_epoch``, ``fit``."""
    return (words(name) or [""])[0] in VERBS


def _only_shows(function: types.FunctionType) -> bool:
    """Tell whether a function of the notebook draws, prints or logs what it is given, and makes nothing of it."""
    used = names_in(function.__code__)
    if not _gives(function.__code__) and not used.isdisjoint(_PRINTS | _DRAWS | _LOGS):
        return not any(map(_is_verb, used))
    # Also where it gives back the figure.
    return not used.isdisjoint(("plt", "pyplot")) and not any(map(_is_verb, used))


def _gives(code: types.CodeType) -> bool:
    """Tell whether a function gives back, or yields, anything but None."""
    last: Any = MISSING
    for step in dis.get_instructions(code):
        if step.opname == "RETURN_CONST" and step.argval is not None:
            return True
        if step.opname == "RETURN_VALUE" and last is not None:
            return True
        if step.opname == "YIELD_VALUE":
            return True
        last = step.argval if step.opname == "LOAD_CONST" else MISSING
    return False


def _method(func: Attribute, namespace: Mapping[str, object]) -> Builder | None:
    cls = _class_of(func.base, namespace)
    if cls is None:
        return None
    found = next((dict_of(base)[func.attr] for base in bases_of(cls) if func.attr in dict_of(base)), None)
    function = function_behind(found)
    if function is not None and is_own(function, namespace):
        if not (_is_verb(func.attr) or func.attr == "compile") or words(func.attr)[0] in _ASKS:
            return None
        return Builder(func.attr, signature_of(found, bound=True), is_own=True)
    if func.attr not in _METHODS or not _trains(cls):
        return None
    return Builder(func.attr, signature_of(found, bound=True) if function is not None else None)


def _class_of(node: Node, namespace: Mapping[str, object]) -> type | None:
    """Tell the class of the object that a method is called on, as far as the code and the namespace say."""
    match node:
        case Local(name=name) | External(name=name) | Free(name=name):
            value = namespace.get(name, MISSING)
            plain = value is MISSING or is_a(value, type, types.ModuleType, types.FunctionType)
            return None if plain else type(value)
        case Call(func=func):
            made = resolve(func, namespace)
            if is_a(made, type):
                return made  # type: ignore[no-any-return]  # as just seen
            return _class_of(func.base, namespace) if isinstance(func, Attribute) and func.attr in _SAME else None
    return None
