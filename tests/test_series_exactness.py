"""A cell whose assignments are followed does what the bare cell does: value, output, namespace, traceback, line events.

Each program runs three times in a real shell: bare, followed by inference, and with every name it assigns under
``--watch``. Nothing may differ.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_magics.capture.hook import NAME
from mlflow_magics.capture.instrument import assigned_names

PROGRAMS = {
    "value": "for i in range(4):\n    loss = i * 0.5\nloss",
    "walrus value": "import math\n(loss := math.sqrt(4))",
    "del in loop": "for i in range(3):\n    loss = i / 2\n    del loss\n'loss' in globals()",
    "global": "def f():\n    global loss\n    loss = 1.5\n    return loss\nf(), loss",
    "nonlocal": "def f():\n    loss = 0.0\n    def g():\n        nonlocal loss\n        loss += 1.5\n    g(); g()\n    return loss\nf()",
    "error in the value": "for i in range(3):\n    loss = 1 / (1 - i)",
    "error in a watched function": "def f(n):\n    loss = (\n        1\n        / n\n    )\n    return loss\nf(2)\nf(0)",
    "error behind": "for i in range(3):\n    loss = i * 1.5; other = loss.missing",
    "error in the target": "class C:\n    __slots__ = ()\nfor i in range(2):\n    loss = C().x = i / 2",
    "error in unpacking": "for i in range(2):\n    loss, other = i,",
    "multi-line error": "loss = sum(\n    [1,\n     'a'])",
    "break else": "for i in range(5):\n    loss = i / 2\n    if loss > 1: break\nelse:\n    loss = -1.0\nloss",
    "continue else": "for i in range(3):\n    loss = i / 2\n    if i: continue\n    loss += 1\nelse:\n    loss = -1.0\nloss",
    "while walrus": "n = 5\nwhile (loss := n / 2) > 1:\n    n -= 1\nloss, n",
    "while else": "n = 3\nwhile n:\n    n -= 1\n    loss = n / 3\nelse:\n    done = n\nloss, done",
    "generator": "def g():\n    for i in range(3):\n        loss = yield i / 2\n        if loss: yield loss\nit = g(); next(it); it.send(4.5), list(it)",
    "generator close": "def g():\n    try:\n        while True:\n            loss = yield\n    finally:\n        print('closed')\nit = g(); next(it); it.send(1.5); it.close()",
    "generator throw": "def g():\n    while True:\n        try:\n            loss = yield 1.0\n        except KeyError as error:\n            loss = 2.5; yield repr(error)\nit = g(); next(it); it.throw(KeyError('k'))",
    "comprehension": "xs = [loss := x / 2 for x in range(4)]\nxs, loss",
    "comprehension in function": "def f():\n    xs = [y for x in range(4) if (y := x / 2) > 0.5]\n    return xs, y, locals()\nf()",
    "comprehension scope": "loss = 9.0\n[loss for loss in range(3)]\nloss",
    "lambda walrus": "f = lambda x: (loss := x * 2) + loss\nf(1.5)",
    "augmented": "loss = 1.0\nfor i in range(4):\n    loss *= 1.5\n    loss -= i\nloss",
    "augmented list": "xs = ys = []\nfor i in range(3):\n    xs += [i]\nxs is ys, xs",
    "chained": "def f(): return 1.25\nfor i in range(2):\n    a = b = c = f()\na, b, c",
    "starred": "for i in range(2):\n    loss, *rest, last = i, 1.5, 2.5, 3.5\nloss, rest, last",
    "nested targets": "for i in range(2):\n    (a, [b, *c]), d = (1.5, [2, 3, 4]), i\na, b, c, d",
    "annotated": "for i in range(2):\n    loss: float = i / 3\n    other: int\nloss, __annotations__",
    "annotated in function": "def f():\n    loss: float = 1 / 3\n    return loss\nf(), f.__annotations__",
    "match": "for value in (1, (2, 3), 'x', {'k': 2.5}):\n    match value:\n        case int(n) if (m := n / 2):\n            loss = m\n        case (a, b):\n            loss = a / b\n        case {'k': k}:\n            loss = k\n        case _:\n            loss = -1.0\nloss, a, b, k, m",
    "try": "for i in (2, 0, 'a'):\n    try:\n        loss = 1 / i\n    except ZeroDivisionError as error:\n        loss = 0.5; text = str(error)\n    except TypeError:\n        loss = 0.25\n    else:\n        good = loss\n    finally:\n        last = loss\nloss, good, last, text",
    "finally and return": "def f():\n    for i in range(3):\n        try:\n            loss = i / 2\n            return loss\n        finally:\n            loss = 7.5\nf()",
    "context of errors": "try:\n    loss = 1.5\n    1 / 0\nexcept ZeroDivisionError:\n    loss = 2.5\n    raise ValueError(loss)",
    "cause": "try:\n    {}['k']\nexcept KeyError as e:\n    loss = 2.5\n    raise ValueError('x') from e",
    "raise again": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    loss = 2.5\n    raise",
    "exc_info": "import sys\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    loss = 2.5\n    kind = sys.exc_info()[0]\nkind, sys.exc_info()",
    "with": "import contextlib\nfor i in range(2):\n    with contextlib.nullcontext(i / 2) as loss, contextlib.nullcontext(3) as n:\n        twice = loss * 2\nloss, n, twice",
    "with suppress": "import contextlib\nwith contextlib.suppress(ZeroDivisionError):\n    loss = 1.5\n    loss = 1 / 0\nloss",
    "async": "import asyncio\nasync def numbers():\n    for i in range(3):\n        await asyncio.sleep(0)\n        yield i / 2\nasync for loss in numbers():\n    twice = loss * 2\nloss, twice",
    "async with": "import contextlib\n@contextlib.asynccontextmanager\nasync def manager():\n    yield 1.5\nasync with manager() as loss:\n    twice = loss * 2\ntwice",
    "await": "import asyncio\nasync def f(i):\n    loss = i / 2\n    await asyncio.sleep(0)\n    return loss\nfor i in range(2):\n    loss = await f(i)\nawait asyncio.gather(f(1), f(2))",
    "await error": "import asyncio\nasync def f(i):\n    loss = 1 / i\n    return loss\nfor i in (1, 0):\n    loss = await f(i)",
    "class body": "class Model:\n    loss = 1.5\n    for i in range(3):\n        loss += i\n    __private = 2.5\n    def step(self):\n        self.loss = loss = 2.5\n        __hidden = loss\n        return __hidden\nModel.loss, Model().step(), sorted(k for k in vars(Model) if 'ri' in k)",
    "enum": "import enum\nclass E(enum.Enum):\n    loss = 1.5\n    other = 2\nlist(E)",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass D:\n    loss: float = 1.5\n    n: int = 2\nD()",
    "super": "class A:\n    def f(self): return 1.5\nclass B(A):\n    def f(self):\n        loss = super().f()\n        return loss, __class__.__name__\nB().f()",
    "decorator": "import functools\ndef d(f):\n    @functools.wraps(f)\n    def inner(*a):\n        loss = f(*a)\n        return loss\n    return inner\n@d\ndef g(x):\n    'the doc'\n    loss = x / 2\n    return loss\ng(3), g.__doc__, g.__name__",
    "docstring": "def f():\n    '''doc'''\n    loss = 1.5\nf.__doc__",
    "locals": "def f(x):\n    loss = x / 2\n    y = loss\n    return locals(), dir()\nf(3)",
    "globals": "before = set(globals())\nfor i in range(2):\n    loss = i / 2\nsorted(set(globals()) - before), sorted(set(dir()) - before), 'loss' in vars()",
    "who": "for i in range(2):\n    loss = i / 2\n%who",
    "names of the code": "def f(x):\n    loss = x / 2\n    return loss\nf.__code__.co_varnames, f.__code__.co_freevars, f.__code__.co_firstlineno",
    "getsource": "import inspect\ndef f(x):\n    loss = x / 2\n    return loss\nprint(inspect.getsource(f)); inspect.signature(f)",
    "line numbers": "import sys\ndef here(): return sys._getframe(1).f_lineno\nfor i in range(2):\n    loss = i / 2; a = here()\n    b = here()\na, b",
    "recursion": "def fib(n):\n    loss = n if n < 2 else fib(n - 1) + fib(n - 2)\n    return loss\nfib(12)",
    "recursion without end": "def f(n):\n    loss = n * 0.5\n    return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as e:\n    kind = type(e).__name__\nkind",
    "hostile": "class H:\n    def __getattribute__(self, name): print('asked', name); return 0.5\n    def __float__(self): print('float'); return 0.5\n    def __int__(self): print('int'); return 1\n    def __index__(self): print('index'); return 1\n    def __bool__(self): print('bool'); return True\n    def __eq__(self, o): print('eq'); return True\n    def __hash__(self): print('hash'); return 1\n    def __lt__(self, o): print('lt'); return True\n    def __len__(self): print('len'); return 0\nfor i in range(2):\n    loss = H()\nlast = H()",
    "hostile subclass": "class F(float):\n    def __float__(self): print('float'); return 9.0\n    def __lt__(self, o): print('lt'); return True\n    def __gt__(self, o): print('gt'); return True\n    def __getattribute__(self, n): print(n); return 1\nfor i in range(2):\n    loss = F(i)\nfloat.__repr__(loss)",
    "mock": "from unittest.mock import MagicMock\nm = MagicMock()\nfor i in range(3):\n    loss = m.train(i)\nm.mock_calls, loss.mock_calls",
    "huge": "for i in range(2):\n    loss = 10 ** (400 + i)\nloss > 1",
    "seeded": "import random\nrandom.seed(1)\nfor i in range(3):\n    loss = random.random()\nloss, random.random()",
    "one line": "for i in range(3): loss = i / 2; other = loss\nif loss: best = loss\nbest",
    "semicolon": "for i in range(3):\n    loss = i / 2\nloss;",
    "future": "from __future__ import annotations\nfor i in range(2):\n    loss: Undefined = i / 2\nloss",
    "unicode": "for größe in range(3):\n    verlust = größe / 2\nverlust",
    "magics": "for i in range(2):\n    x = %pwd\n    loss = len(x) * 0.5\nloss > 0",
    "shell": "for i in range(2):\n    out = !echo {i}\n    loss = float(out[0])\nloss",
    "time line": "for i in range(2):\n    %time loss = i / 2\nloss",
    "exit": "for i in range(3):\n    loss = i / 2\n    if i == 1: raise SystemExit(loss)",
    "interrupt": "for i in range(3):\n    loss = i / 2\n    if i == 1: raise KeyboardInterrupt",
    "exception group": "for i in range(2):\n    loss = i / 2\ntry:\n    raise OSError('a')\nexcept (OSError, ValueError) as e:\n    loss = 0.25\nloss",
    "deep": "\n".join("    " * n + "for i in [1]:" for n in range(19)) + "\n" + "    " * 19 + "loss = 1 / 2\nloss",
    "long chain": "loss = 0.5" + " + 0.5" * 900 + "\nloss",
    "shadowed builtins": "NameErrors = id = type = None\nfor i in range(2):\n    loss = i / 2\nloss",
    "slots and property": "class C:\n    @property\n    def loss(self):\n        loss = 1.5\n        return loss\nC().loss",
    "exec": "for i in range(2):\n    exec('inner = i / 2')\n    loss = inner\nloss",
    "threads": "import threading\ntotal = []\ndef work():\n    for i in range(50):\n        loss = i / 2\n        total.append(loss)\nthreads = [threading.Thread(target=work) for _ in range(4)]\n[t.start() for t in threads]; [t.join() for t in threads]\ndel threads\nsum(total)",
    "pickle": "import pickle\ndef f(x):\n    loss = x / 2\n    return loss\npickle.loads(pickle.dumps(f)) is f",
    "warnings": "import warnings\ndef f():\n    loss = 1.5\n    with warnings.catch_warnings(record=True) as caught:\n        warnings.simplefilter('always')\n        warnings.warn('x')\n        loss = 2.5\n    return caught[0].lineno\nf()",
}  # fmt: skip

PADDING = "\n" * 6


@pytest.fixture
def quiet(shell):
    """A shell whose runs show nothing below the cell."""
    shell.magics_manager.registry["MlflowMagics"].cells.show = lambda outcome: shown.append(outcome)
    shown.clear()
    return shell


shown: list = []


def observe(shell, capsys, magic, program):
    shell.reset(new_session=True)
    sys.__dict__.pop("last_value", None)
    capsys.readouterr()
    result = shell.run_cell(magic + PADDING + program, store_history=True)
    printed = re.sub(r"0x[0-9a-f]+|(CPU times|Wall time).*", "…", capsys.readouterr().out)
    # The magic's own line, where a traceback quotes it, differs by design.
    printed = "\n".join(line for line in printed.split("\n") if not line.startswith("      1 "))
    hidden = {"In", "Out", "exit", "quit", "open", "get_ipython"}
    names = {k: type(v).__name__ for k, v in shell.user_ns.items() if not k.startswith("_") and k not in hidden}
    plain = {k: v for k, v in shell.user_ns.items() if k in names and type(v) in (int, float, str, list, dict, tuple)}
    value = re.sub(r"0x[0-9a-f]+", "…", repr(result.result))
    error = result.error_in_exec
    return result.success, value, type(error).__name__, printed, names, re.sub(r"0x[0-9a-f]+", "…", repr(plain))


def watched(program):
    names = set()
    for line in (program, "\n".join(re.sub(r"[%!].*", "0", line) for line in program.split("\n"))):
        try:
            names = assigned_names(ast.parse(line))
        except SyntaxError:
            continue
    return f" --watch {' '.join(sorted(names))}" if names else ""


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_followed_cell_is_the_bare_cell(quiet, capsys, program):
    bare = observe(quiet, capsys, "#", program)
    assert observe(quiet, capsys, "%%mlflow_run --dry-run", program) == bare
    assert observe(quiet, capsys, "%%mlflow_run --dry-run" + watched(program), program) == bare
    assert len(shown) == 2
    assert quiet.ast_transformers, "IPython drops a transformer that raises"


def test_the_corpus_is_followed(quiet, capsys):
    """Or all of the above would prove nothing."""
    followed = 0
    for program in PROGRAMS.values():
        shown.clear()
        observe(quiet, capsys, "%%mlflow_run --dry-run" + watched(program), program)
        followed += bool(shown[0].series)
    assert followed > 0.85 * len(PROGRAMS)


@pytest.mark.parametrize("mode", ["last_expr", "last_expr_or_assign", "all", "last", "none"])
@pytest.mark.parametrize(
    "program",
    ["loss = 1.5", "loss += 1.5", "loss: float = 1.5", "a = loss = 1.5", "loss, b = 1.5, 2", "(loss := 2.5)",
     "for i in [1, 2]:\n    loss = i / 2\n    loss", "loss = 2.5; loss"],
)  # fmt: skip
def test_what_ipython_displays(quiet, capsys, mode, program):
    program = "loss = 1.0\n" + program
    before, quiet.ast_node_interactivity = quiet.ast_node_interactivity, mode
    try:
        bare = observe(quiet, capsys, "#", program)
        run = observe(quiet, capsys, "%%mlflow_run --dry-run --watch loss", program)
    finally:
        quiet.ast_node_interactivity = before
    assert run == bare


LINES = """
import sys
def trace(frame, event, arg):
    if frame.f_code.co_filename == __file__:
        seen.append((event, frame.f_lineno, frame.f_code.co_name))
        return trace
seen = []
__file__ = sys._getframe().f_code.co_filename
def f(n):
    loss = (
        n
        / 2
    )
    while (loss := loss - 0.5) > 0:
        other, loss = loss, loss - 0.25
    for loss in (1.0, 2.0):
        pass
    return loss
sys.settrace(trace)
try:
    f(4)
finally:
    sys.settrace(None)
del __file__
seen
"""


def test_a_tracer_sees_the_same_lines(quiet, capsys):
    bare = observe(quiet, capsys, "#", LINES)
    assert bare[1].count("'line'") > 10
    assert observe(quiet, capsys, "%%mlflow_run --dry-run --watch loss other", LINES) == bare


@pytest.mark.parametrize("magic", ["%%time", "%%capture out", "%%prun -q", "%%timeit -n2 -r2"])
def test_other_cell_magics(quiet, capsys, magic):
    program = f"{magic}\nimport math\nfor i in range(4):\n    loss = math.sqrt(i)\nprint('end', loss)\n"
    quiet.run_cell(program)
    bare = quiet.user_ns.get("loss"), getattr(quiet.user_ns.get("out"), "stdout", "")
    quiet.user_ns.pop("loss", None)
    assert quiet.run_cell(f"%%mlflow_run --dry-run\n{program}").success
    assert (quiet.user_ns.get("loss"), getattr(quiet.user_ns.get("out"), "stdout", "")) == bare
    # What %%prun and %%timeit compile is theirs: not followed, and not broken.
    expected = [("loss", 4)] if magic.startswith(("%%time", "%%capture")) and "timeit" not in magic else []
    assert [(one.name, one.count) for one in shown[-1].series] == expected
    assert quiet.ast_transformers


def test_run_of_a_script_is_not_followed(quiet, folder):
    (folder / "script.py").write_text("for i in range(3):\n    loss = i / 2\n")
    (folder / "book.ipy").write_text("for i in range(3):\n    other = i / 2\n")
    assert quiet.run_cell("%%mlflow_run --dry-run\n%run script.py\n%run book.ipy\n").success
    assert not shown[-1].series
    assert quiet.user_ns["loss"] == quiet.user_ns["other"] == 1.0


def test_nothing_is_left_in_the_namespace_nor_among_the_builtins(quiet):
    quiet.run_cell("%%mlflow_run --dry-run\nimport math\nfor i in range(3):\n    loss = math.sqrt(i)\nnames = dir()\n")
    assert shown[-1].series
    assert not [name for name in quiet.user_ns["names"] if "mlflow" in name]
    quiet.extension_manager.unload_extension("mlflow_magics")
    assert not hasattr(builtins, NAME)
    assert not quiet.ast_transformers


FUNCTIONS = """
%%mlflow_run --dry-run --watch loss
def f(x):
    loss = x / 2
    while (loss := loss - 1) > 0: pass
    return loss
f(3)
"""


def test_a_function_that_outlives_its_run_records_nothing_and_raises_nothing(quiet):
    assert quiet.run_cell(FUNCTIONS.lstrip()).success
    assert shown[-1].series[0].count == 3
    assert quiet.run_cell("f(5)").result == -0.5
    assert quiet.run_cell("%%mlflow_run --dry-run\ny = f(7)\n").success
    assert not shown[-1].series
    quiet.extension_manager.unload_extension("mlflow_magics")
    assert quiet.run_cell("f(9)").result == -0.5


def test_a_function_pickled_into_another_process_works(quiet, folder):
    """By value, as joblib and Dask do it: there nobody knows of a recorder."""
    pytest.importorskip("cloudpickle")
    code = "import pickle, sys; print(pickle.load(open('f.pkl', 'rb'))(5))"
    cell = FUNCTIONS.lstrip() + textwrap.dedent(f"""
        import cloudpickle, subprocess, sys
        with open('f.pkl', 'wb') as file: cloudpickle.dump(f, file)
        out = subprocess.run([sys.executable, '-c', {code!r}], capture_output=True, text=True)
        """)
    assert quiet.run_cell(cell).success
    assert quiet.user_ns["out"].stdout.strip() == "-0.5", quiet.user_ns["out"].stderr


def test_a_forked_child_adds_no_points(quiet):
    cell = """
    %%mlflow_run --dry-run --watch loss
    import os
    loss = 0.5
    _pid = os.fork()
    if _pid == 0:
        loss = 1.5
        os._exit(0)
    os.waitpid(_pid, 0)
    loss = 2.5
    """
    assert quiet.run_cell(textwrap.dedent(cell).lstrip()).success
    assert (shown[-1].series[0].count, shown[-1].series[0].max) == (2, 2.5)


def test_functions_that_others_compile_are_left_alone(quiet):
    cell = """
    %%mlflow_run --dry-run --watch loss
    import dis
    def njit(f): return f
    def plain(f): return f
    @njit
    def compiled(x):
        loss = x / 2
        return loss
    @plain
    def followed(x):
        loss = x / 2
        return loss
    names = [f.__code__.co_names for f in (compiled, followed)]
    """
    assert quiet.run_cell(textwrap.dedent(cell).lstrip()).success
    assert quiet.user_ns["names"][0] == ()
    assert quiet.user_ns["names"][1]


# -- generated programs -------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "loss"])


def expressions():
    leaves = st.one_of(NAMES, st.sampled_from(["1.5", "2", "i", "len('xy')", "float(3)", "f(a)"]))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(lambda t: f"({' '.join(t)})"),
            st.tuples(NAMES, inner).map(lambda t: f"({t[0]} := {t[1]})"),
            inner.map(lambda e: f"abs({e})"),
            st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        ),
        max_leaves=4,
    )


def indented(lines):
    return ["    " + line for line in lines]


def statements():
    value = expressions()
    simple = st.one_of(
        st.tuples(NAMES, value).map(lambda t: [f"{t[0]} = {t[1]}"]),
        st.tuples(NAMES, st.sampled_from(["+=", "-=", "*=", "/="]), value).map(lambda t: [" ".join(t)]),
        st.tuples(NAMES, NAMES, value, value).map(lambda t: [f"{t[0]}, {t[1]} = {t[2]}, {t[3]}"]),
        st.tuples(NAMES, NAMES, value).map(lambda t: [f"{t[0]} = {t[1]} = {t[2]}"]),
        value.map(lambda e: [f"print({e})"]),
        NAMES.map(lambda n: [f"del {n}"]),
        st.just(["log.append(sorted(n for n in globals() if len(n) < 5))"]),
    )

    def compound(inner):
        body = st.lists(inner, min_size=1, max_size=3).map(lambda blocks: indented(sum(blocks, [])))
        last = st.sampled_from([[], ["    break"], ["    continue"]])
        return st.one_of(
            st.tuples(body, last, body).map(lambda t: ["for i in range(3):", *t[0], *t[1], "else:", *t[2]]),
            st.tuples(NAMES, body).map(lambda t: [f"for {t[0]} in (1, 2.5):", *t[1]]),
            st.tuples(value, body, body).map(lambda t: [f"if {t[0]}:", *t[1], "else:", *t[2]]),
            st.tuples(body, body, body).map(
                lambda t: ["try:", *t[0], "except (ArithmeticError, NameError) as error:", *t[1], "finally:", *t[2]]
            ),
            st.tuples(NAMES, body).map(lambda t: [f"with contextlib.nullcontext(2.5) as {t[0]}:", *t[1]]),
            st.tuples(body, NAMES).map(
                lambda t: ["def f(x):", "    a = b = loss = x", *t[0], f"    return {t[1]}", "a = f(1.5)"]
            ),
            st.tuples(NAMES, value).map(lambda t: [f"b = [({t[0]} := {t[1]}) for i in range(2)][-1]"]),
        )

    return st.recursive(simple, compound, max_leaves=6)


PRELUDE = "import contextlib\nlog = []\ni = a = b = loss = 1\ndef f(x): return x * 2\n"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(statements(), min_size=1, max_size=4))
def test_generated_programs(quiet, capsys, blocks):
    program = PRELUDE + "\n".join(sum(blocks, [])) + "\na, b, loss, log"
    try:
        compile(program, "<generated>", "exec")
    except SyntaxError:  # `break` outside a loop
        return
    bare = observe(quiet, capsys, "#", program)
    for magic in ("%%mlflow_run --dry-run", "%%mlflow_run --dry-run --watch a b loss"):
        run = observe(quiet, capsys, magic, program)
        if bare[2] == "RecursionError":  # how deep it went is Python's affair
            run, bare = (each[:3] for each in (run, bare))
        assert run == bare
