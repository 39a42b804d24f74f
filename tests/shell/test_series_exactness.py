"""A cell whose assignments are followed does what the bare cell does: value, output, namespace, traceback, line events.

Each program runs three times in a real shell: bare, followed by inference, and with every name it assigns under
``--watch``. Nothing may differ.
"""

from __future__ import annotations

import ast
import builtins
import gc
import itertools
import re
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_magics.capture.following.hook import NAME
from mlflow_magics.capture.following.plan import assigned_names

PROGRAMS = dict(
    re.findall(r"^# --- (.*)\n((?:(?!# --- ).*\n)+)", r"""
# --- value
for i in range(4):
    loss = i * 0.5
loss
# --- print with labels
for i in range(3):
    print(f"loss {i / 2:.2f}  acc", sum([i, 0.5]), "%.1f" % max(i, 0.25))
print("end:", round(abs(-1.5), 2))
# --- error in what is printed
for i in (2, 0):
    print("loss:", 1 / i)
# --- error behind what is printed
print("loss:", abs(-1.5), 1 / 0)
# --- appends and dicts
history = {"loss": [], "n": []}
for i in range(4):
    res = {"loss": abs(i - 2) / 2, "n": i}
    history["loss"].append(res["loss"]); history["n"].append(abs(res["n"]))
history
# --- error in what is appended
losses = []
for i in (2, 0):
    losses.append(
        1 / i)
# --- append that is not a list's
class Log:
    def append(self, *a): return a
log = Log()
for i in range(2): log.append(abs(i / 2))
log.append(1, 2)
# --- a grid of calls
def evaluate(depth, crit='gini'):
    for i in range(depth):
        score = depth / (i + 1)
    return {"acc": score}
for depth in (1, 2):
    for crit in ['gini', 'entropy']:
        evaluate(depth, crit)
[evaluate(d)["acc"] for d in (1, 3)]
# --- error in a called function's loop
def train(n):
    for i in range(3):
        loss = (
            1 / (n - i))
        print("loss:", loss)
    return loss
train(1)
# --- error in what is returned
def objective(x):
    return 1 / x
def minimize(f, xs): return min(f(x) for x in xs)
minimize(objective, (1, 0))
# --- a closure that counts
def make():
    n = 0.0
    def step():
        nonlocal n
        for _ in range(2):
            n += 0.5
        return n
    return step
step = make(); step(), step()
# --- recursion
def f(n):
    for _ in range(1):
        half = n / 2
    return half if n < 1 else f(n - 1) + half
f(4)
# --- source and signature of what is followed
import inspect
def f(lr: float = 0.1, *, n=2, **more):
    'doc'
    for _ in range(n):
        loss = lr / 2
    return loss
f(), str(inspect.signature(f)), f.__code__.co_firstlineno, f.__code__.co_varnames, f.__doc__, f.__defaults__
# --- a class that fits
class Net:
    losses: list = []
    @staticmethod
    def half(x):
        for _ in range(1): y = x / 2
        return y
    @classmethod
    def make(cls): return cls()
    @property
    def last(self):
        for one in self.losses: found = one / 1
        return found
    def fit(self, n):
        for i in range(n):
            self.losses.append(self.half(i)); loss = self.losses[-1]
            print("loss:", loss, "of", type(self).__name__)
        return self
Net.make().fit(3).last
# --- walrus value
import math
(loss := math.sqrt(4))
# --- del in loop
for i in range(3):
    loss = i / 2
    del loss
'loss' in globals()
# --- global
def f():
    global loss
    loss = 1.5
    return loss
f(), loss
# --- nonlocal
def f():
    loss = 0.0
    def g():
        nonlocal loss
        loss += 1.5
    g(); g()
    return loss
f()
# --- error in the value
for i in range(3):
    loss = 1 / (1 - i)
# --- error in a watched function
def f(n):
    loss = (
        1
        / n
    )
    return loss
f(2)
f(0)
# --- error behind
for i in range(3):
    loss = i * 1.5; other = loss.missing
# --- error in the target
class C:
    __slots__ = ()
for i in range(2):
    loss = C().x = i / 2
# --- error in unpacking
for i in range(2):
    loss, other = i,
# --- multi-line error
loss = sum(
    [1,
     'a'])
# --- break else
for i in range(5):
    loss = i / 2
    if loss > 1: break
else:
    loss = -1.0
loss
# --- continue else
for i in range(3):
    loss = i / 2
    if i: continue
    loss += 1
else:
    loss = -1.0
loss
# --- while walrus
n = 5
while (loss := n / 2) > 1:
    n -= 1
loss, n
# --- while else
n = 3
while n:
    n -= 1
    loss = n / 3
else:
    done = n
loss, done
# --- generator
def g():
    for i in range(3):
        loss = yield i / 2
        if loss: yield loss
it = g(); next(it); it.send(4.5), list(it)
# --- generator close
def g():
    try:
        while True:
            loss = yield
    finally:
        print('closed')
it = g(); next(it); it.send(1.5); it.close()
# --- generator throw
def g():
    while True:
        try:
            loss = yield 1.0
        except KeyError as error:
            loss = 2.5; yield repr(error)
it = g(); next(it); it.throw(KeyError('k'))
# --- comprehension
xs = [loss := x / 2 for x in range(4)]
xs, loss
# --- comprehension in function
def f():
    xs = [y for x in range(4) if (y := x / 2) > 0.5]
    return xs, y, locals()
f()
# --- comprehension scope
loss = 9.0
[loss for loss in range(3)]
loss
# --- lambda walrus
f = lambda x: (loss := x * 2) + loss
f(1.5)
# --- augmented
loss = 1.0
for i in range(4):
    loss *= 1.5
    loss -= i
loss
# --- augmented list
xs = ys = []
for i in range(3):
    xs += [i]
xs is ys, xs
# --- chained
def f(): return 1.25
for i in range(2):
    a = b = c = f()
a, b, c
# --- starred
for i in range(2):
    loss, *rest, last = i, 1.5, 2.5, 3.5
loss, rest, last
# --- nested targets
for i in range(2):
    (a, [b, *c]), d = (1.5, [2, 3, 4]), i
a, b, c, d
# --- annotated
for i in range(2):
    loss: float = i / 3
    other: int
loss, __annotations__
# --- annotated in function
def f():
    loss: float = 1 / 3
    return loss
f(), f.__annotations__
# --- match
for value in (1, (2, 3), 'x', {'k': 2.5}):
    match value:
        case int(n) if (m := n / 2):
            loss = m
        case (a, b):
            loss = a / b
        case {'k': k}:
            loss = k
        case _:
            loss = -1.0
loss, a, b, k, m
# --- try
for i in (2, 0, 'a'):
    try:
        loss = 1 / i
    except ZeroDivisionError as error:
        loss = 0.5; text = str(error)
    except TypeError:
        loss = 0.25
    else:
        good = loss
    finally:
        last = loss
loss, good, last, text
# --- finally and return
def f():
    for i in range(3):
        try:
            loss = i / 2
            return loss
        finally:
            loss = 7.5
f()
# --- context of errors
try:
    loss = 1.5
    1 / 0
except ZeroDivisionError:
    loss = 2.5
    raise ValueError(loss)
# --- cause
try:
    {}['k']
except KeyError as e:
    loss = 2.5
    raise ValueError('x') from e
# --- raise again
try:
    1 / 0
except ZeroDivisionError:
    loss = 2.5
    raise
# --- exc_info
import sys
try:
    1 / 0
except ZeroDivisionError:
    loss = 2.5
    kind = sys.exc_info()[0]
kind, sys.exc_info()
# --- with
import contextlib
for i in range(2):
    with contextlib.nullcontext(i / 2) as loss, contextlib.nullcontext(3) as n:
        twice = loss * 2
loss, n, twice
# --- with suppress
import contextlib
with contextlib.suppress(ZeroDivisionError):
    loss = 1.5
    loss = 1 / 0
loss
# --- async
import asyncio
async def numbers():
    for i in range(3):
        await asyncio.sleep(0)
        yield i / 2
async for loss in numbers():
    twice = loss * 2
loss, twice
# --- async with
import contextlib
@contextlib.asynccontextmanager
async def manager():
    yield 1.5
async with manager() as loss:
    twice = loss * 2
twice
# --- await
import asyncio
async def f(i):
    loss = i / 2
    await asyncio.sleep(0)
    return loss
for i in range(2):
    loss = await f(i)
await asyncio.gather(f(1), f(2))
# --- await error
import asyncio
async def f(i):
    loss = 1 / i
    return loss
for i in (1, 0):
    loss = await f(i)
# --- class body
class Model:
    loss = 1.5
    for i in range(3):
        loss += i
    __private = 2.5
    def step(self):
        self.loss = loss = 2.5
        __hidden = loss
        return __hidden
Model.loss, Model().step(), sorted(k for k in vars(Model) if 'ri' in k)
# --- enum
import enum
class E(enum.Enum):
    loss = 1.5
    other = 2
list(E)
# --- dataclass
from dataclasses import dataclass
@dataclass
class D:
    loss: float = 1.5
    n: int = 2
D()
# --- super
class A:
    def f(self): return 1.5
class B(A):
    def f(self):
        loss = super().f()
        return loss, __class__.__name__
B().f()
# --- decorator
import functools
def d(f):
    @functools.wraps(f)
    def inner(*a):
        loss = f(*a)
        return loss
    return inner
@d
def g(x):
    'the doc'
    loss = x / 2
    return loss
g(3), g.__doc__, g.__name__
# --- docstring
def f():
    '''doc'''
    loss = 1.5
f(); f.__doc__
# --- locals
def f(x):
    loss = x / 2
    y = loss
    return locals(), dir()
f(3)
# --- globals
before = set(globals())
for i in range(2):
    loss = i / 2
sorted(set(globals()) - before), sorted(set(dir()) - before), 'loss' in vars()
# --- who
for i in range(2):
    loss = i / 2
%who
# --- names of the code
def f(x):
    loss = x / 2
    return loss
f(3), f.__code__.co_varnames, f.__code__.co_freevars, f.__code__.co_firstlineno
# --- getsource
import inspect
def f(x):
    loss = x / 2
    return loss
print(inspect.getsource(f)); inspect.signature(f), f(3)
# --- line numbers
import sys
def here(): return sys._getframe(1).f_lineno
for i in range(2):
    loss = i / 2; a = here()
    b = here()
a, b
# --- recursion
def fib(n):
    loss = n if n < 2 else fib(n - 1) + fib(n - 2)
    return loss
fib(12)
# --- recursion without end
def f(n):
    loss = n * 0.5
    return f(n + 1)
try:
    f(0)
except RecursionError as e:
    kind = type(e).__name__
kind
# --- hostile
class H:
    def __getattribute__(self, name): print('asked', name); return 0.5
    def __float__(self): print('float'); return 0.5
    def __int__(self): print('int'); return 1
    def __index__(self): print('index'); return 1
    def __bool__(self): print('bool'); return True
    def __eq__(self, o): print('eq'); return True
    def __hash__(self): print('hash'); return 1
    def __lt__(self, o): print('lt'); return True
    def __len__(self): print('len'); return 0
for i in range(2):
    loss = H()
last = H()
# --- hostile subclass
class F(float):
    def __float__(self): print('float'); return 9.0
    def __lt__(self, o): print('lt'); return True
    def __gt__(self, o): print('gt'); return True
    def __getattribute__(self, n): print(n); return 1
for i in range(2):
    loss = F(i)
float.__repr__(loss)
# --- mock
from unittest.mock import MagicMock
m = MagicMock()
for i in range(3):
    loss = m.train(i)
m.mock_calls, loss.mock_calls
# --- huge
for i in range(2):
    loss = 10 ** (400 + i)
loss > 1
# --- seeded
import random
random.seed(1)
for i in range(3):
    loss = random.random()
loss, random.random()
# --- one line
for i in range(3): loss = i / 2; other = loss
if loss: best = loss
best
# --- semicolon
for i in range(3):
    loss = i / 2
loss;
# --- future
from __future__ import annotations
for i in range(2):
    loss: Undefined = i / 2
loss
# --- unicode
for größe in range(3):
    verlust = größe / 2
verlust
# --- magics
for i in range(2):
    x = %pwd
    loss = len(x) * 0.5
loss > 0
# --- shell
for i in range(2):
    out = !echo {i}
    loss = float(out[0])
loss
# --- time line
for i in range(2):
    %time loss = i / 2
loss
# --- exit
for i in range(3):
    loss = i / 2
    if i == 1: raise SystemExit(loss)
# --- interrupt
for i in range(3):
    loss = i / 2
    if i == 1: raise KeyboardInterrupt
# --- exception group
for i in range(2):
    loss = i / 2
try:
    raise OSError('a')
except (OSError, ValueError) as e:
    loss = 0.25
loss
# --- shadowed builtins
NameErrors = id = type = None
for i in range(2):
    loss = i / 2
loss
# --- slots and property
class C:
    @property
    def loss(self):
        loss = 1.5
        return loss
C().loss
# --- exec
for i in range(2):
    exec('inner = i / 2')
    loss = inner
loss
# --- threads
import threading
total = []
def work():
    for i in range(50):
        loss = i / 2
        total.append(loss)
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
del threads
sum(total)
# --- warnings
import warnings
def f():
    loss = 1.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        warnings.warn('x')
        loss = 2.5
    return caught[0].lineno
f()
""", re.M)
) | {
    "deep": "\n".join("    " * n + "for i in [1]:" for n in range(19)) + "\n" + "    " * 19 + "loss = 1 / 2\nloss",
    "long chain": "loss = 0.5" + " + 0.5" * 900 + "\nloss",
}  # fmt: skip

PADDING = "\n" * 6


@pytest.fixture(scope="module", autouse=True)
def _less_garbage():
    """Each shell.reset() collects garbage, and would look at every module each time."""
    gc.freeze()
    yield
    gc.unfreeze()


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


# Where nothing is assigned; all others have points, or this would prove nothing.
NO_NUMBERS = {"multi-line error", "error behind what is printed", "error in what is returned"}


@pytest.mark.parametrize(("name", "program"), PROGRAMS.items(), ids=PROGRAMS)
def test_a_followed_cell_is_the_bare_cell(quiet, capsys, name, program):
    bare = observe(quiet, capsys, "#", program)
    assert observe(quiet, capsys, "%%mlflow_run --dry-run", program) == bare
    assert observe(quiet, capsys, "%%mlflow_run --dry-run" + watched(program), program) == bare
    assert len(shown) == 2
    assert bool(shown[1].series) != (name in NO_NUMBERS)
    assert quiet.ast_transformers, "IPython drops a transformer that raises"


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
seen = [event for event, before in zip(seen, [None, *seen]) if event != before]
seen
"""


def test_a_tracer_sees_the_same_lines(quiet, capsys):
    """In the same order; Python 3.11 reports a line twice where code of an exception handler lies in between."""
    bare = observe(quiet, capsys, "#", LINES)
    assert bare[1].count("'line'") > 8
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
        body = st.lists(inner, min_size=1, max_size=3).map(lambda blocks: indented(itertools.chain(*blocks)))
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
                lambda t: ["def g(x):", "    a = b = loss = x", *t[0], f"    return {t[1]}", "a = g(1.5)"]
            ),
            st.tuples(NAMES, value).map(lambda t: [f"b = [({t[0]} := {t[1]}) for i in range(2)][-1]"]),
        )

    return st.recursive(simple, compound, max_leaves=6)


PRELUDE = "import contextlib\nlog = []\ni = a = b = loss = 1\ndef f(x): return x * 2\n"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(statements(), min_size=1, max_size=4))
def test_generated_programs(quiet, capsys, blocks):
    program = PRELUDE + "\n".join(itertools.chain(*blocks)) + "\na, b, loss, log"
    try:
        compile(program, "<generated>", "exec")
    except SyntaxError:  # `break` outside a loop
        return
    bare = observe(quiet, capsys, "#", program)
    for magic in ("%%mlflow_run --dry-run", "%%mlflow_run --dry-run --watch a b loss"):
        assert observe(quiet, capsys, magic, program) == bare
