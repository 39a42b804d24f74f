"""Cells of the kinds met in real notebooks, and what a careful person would have logged of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlflow_magics.vocabulary.records import Choices

from .cells import capture, fresh, metrics, params, skipped

EARLIER = """
import numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, classification_report
rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3)); y = (X[:, 0] > 0).astype(int)
df = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})
def train(*args, **kwargs): return 0.25
def score(*args, **kwargs): return 0.75
"""
ANY = object()
"""Stands for a metric whose value does not matter here."""


@dataclass(frozen=True)
class Cell:
    about: str
    code: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    earlier: str = ""
    options: dict[str, Any] = field(default_factory=dict)


CELLS = [
    Cell(
        "literals",
        "lr = 0.1\nn = 3\nopt = 'adam'\nflag = True\nnothing = None",
        {"lr": "0.1", "n": "3", "opt": "adam", "flag": "True", "nothing": "None"},
    ),
    Cell("arithmetic of params", "reg = 0.1\nC = 1 / reg", {"reg": "0.1", "C": "10.0"}),
    Cell(
        "the tutorial",
        "reg = 0.1\nmodel = LogisticRegression(C=1 / reg).fit(X, y)\nacc = model.score(X, y)",
        {"reg": "0.1", "C": "10.0"},
        {"acc": ANY},
        {"model": "a model (LogisticRegression)", "X": "data (ndarray 40x3)"},
    ),
    Cell("read from an earlier cell", "loss = train(lr)", {"lr": "0.1"}, {"loss": 0.25}, earlier="lr = 0.1"),
    Cell("computed earlier, read here", "gap = train(best)", {"best": "0.75"}, {"gap": 0.25}, earlier="best = score()"),
    Cell("param in one cell ...", "alpha = 0.5", {"alpha": "0.5"}),
    Cell("... metric in another", "alpha = train()", {}, {"alpha": 0.25}),
    Cell(
        "config dict",
        "cfg = {'lr': 0.1, 'opt': {'name': 'adam', 'betas': (0.9, 0.99)}}",
        {"cfg.lr": "0.1", "cfg.opt.name": "adam", "cfg.opt.betas": "(0.9, 0.99)"},
    ),
    Cell(
        "config dict of an earlier cell",
        "lr = cfg['lr']\nloss = train(lr)",
        {"lr": "0.1", "cfg.batch": "32"},
        {"loss": 0.25},
        earlier="cfg = {'lr': 0.1, 'batch': 32}",
    ),
    Cell("conversions of a config", "batch = int(cfg['batch'])", {"batch": "32"}, earlier="cfg = {'batch': '32'}"),
    Cell(
        "config updated",
        "cfg['lr'] = 0.2\nloss = train(cfg)",
        {"cfg.lr": "0.2", "cfg.n": "3"},
        {"loss": 0.25},
        earlier="cfg = {'lr': 0.1, 'n': 3}",
    ),
    Cell(
        "dataclass made here",
        "from dataclasses import dataclass\n@dataclass\nclass Config:\n    lr: float = 0.1\n    n: int = 3\n"
        "c = Config(n=5)",
        {"c.lr": "0.1", "c.n": "5"},
        {},
        {"Config": "a class", "dataclass": "a function"},
    ),
    Cell(
        "dataclass: one field computed",
        "c = Config(0.1, len(X))",
        {"c.lr": "0.1"},
        {},
        {"c.n": "a size"},
        earlier="from dataclasses import dataclass\n@dataclass\nclass Config:\n    lr: float\n    n: int",
    ),
    Cell(
        "dataclass that a function returned",
        "r = evaluate(1)",
        {"n": "1"},
        {"r.acc": 0.9, "r.loss": 0.1},
        earlier="from dataclasses import dataclass\n@dataclass\nclass R:\n    acc: float = 0.9\n    loss: float = 0.1\n"
        "def evaluate(n): return R()",
    ),
    Cell(
        "argparse",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
        "args = p.parse_args([])\nlr = args.lr * 2",
        {"args.lr": "0.1", "lr": "0.2"},
        {},
        {"p": "an object (ArgumentParser)", "argparse": "a module"},
    ),
    Cell(
        "namespace of an earlier cell",
        "loss = train(args.lr)",
        {"args.lr": "0.1", "args.seed": "1"},
        {"loss": 0.25},
        earlier="from argparse import Namespace\nargs = Namespace(lr=0.1, seed=1)",
    ),
    Cell(
        "simple namespace of results",
        "from types import SimpleNamespace\nr = SimpleNamespace(lr=0.1, acc=score())",
        {"r.lr": "0.1"},
        {"r.acc": 0.75},
    ),
    Cell(
        "pydantic",
        "from pydantic import BaseModel\nclass S(BaseModel):\n    lr: float = 0.1\n    deep: dict = {'n': 2}\ns = S()",
        {"s.lr": "0.1", "s.deep.n": "2"},
    ),
    Cell("class as a config", "class CFG:\n    lr = 0.1\n    seed = 7\nlr = CFG.lr", {"CFG.seed": "7", "lr": "0.1"}),
    Cell(
        "class as a config, earlier",
        "loss = train(CFG.lr)",
        {"CFG.lr": "0.1", "CFG.seed": "7"},
        {"loss": 0.25},
        earlier="class CFG:\n    lr = 0.1\n    seed = 7",
    ),
    Cell(
        "enum",
        "from enum import Enum\nclass Opt(Enum):\n    ADAM = 'adam'\nopt = Opt.ADAM\nword = Opt.ADAM.value",
        {"opt": "adam", "word": "adam"},
        {},
        {"Opt": "a class"},
    ),
    Cell("tuple unpacking", "lr, n = 0.1, 3\nloss, k = train(), 4", {"lr": "0.1", "n": "3", "k": "4"}, {"loss": 0.25}),
    Cell(
        "unpacking a call", "loss, acc = pair()", {}, {"loss": 1.0, "acc": 2.0}, earlier="def pair(): return 1.0, 2.0"
    ),
    Cell("starred", "first, *rest, last = 1, 2, 3, 4", {"first": "1", "rest": "[2, 3]", "last": "4"}),
    Cell("nested unpacking and swap", "a, (b, c) = 1, (2, train())\na, b = b, a", {"a": "2", "b": "1"}, {"c": 0.25}),
    Cell("shape", "n, d = X.shape", {}, {}, {"n": "a size", "d": "a size"}),
    Cell("walrus", "if (loss := train()) < 1 and (k := 3):\n    pass", {"k": "3"}, {"loss": 0.25}),
    Cell("walrus in a comprehension", "xs = [(last := v) for v in map(train, [1, 2])]", {}, {"last": 0.25}, earlier=""),
    Cell("conditional param", "device = 'cuda' if score() > 1 else 'cpu'", {"device": "cpu"}),
    Cell("conditional branches", "if score() > 0:\n    k = 1\nelse:\n    k = train()", {}, {"k": 1.0}),
    Cell(
        "loop: last value",
        "for epoch in range(3):\n    loss = train(epoch)",
        {},
        {"loss": 0.25},
        {"epoch": "a loop variable"},
    ),
    Cell(
        "loop: from inputs",
        "for i in range(3):\n    width = i * 2",
        {},
        {},
        {"i": "a loop variable", "width": "changes in the loop"},
    ),
    Cell("loop: counter", "n = 0\nfor row in X:\n    n += 1", {}, {}, {"n": "a counter", "row": "a loop variable"}),
    Cell("while counter", "i = 0\nwhile i < 3:\n    i = i + 1", {}, {}, {"i": "a counter"}),
    Cell(
        "step by a param",
        "step = 0\nfor _ in range(3):\n    step += batch",
        {"batch": "4"},
        {},
        {"step": "a counter"},
        earlier="batch = 4",
    ),
    Cell(
        "decay",
        "lr = 0.1\nfor e in range(3):\n    lr *= 0.9",
        {},
        {},
        {"lr": "changes in the loop", "e": "a loop variable"},
    ),
    Cell(
        "running total",
        "total = 0.0\nfor row in X:\n    total += train(row)\nmean = total / len(X)",
        {},
        {"total": 10.0, "mean": 0.25},
    ),
    Cell(
        "best so far",
        "best = 0\nfor e in range(2):\n    s = score()\n    if s > best:\n        best = s\n        best_e = e",
        {},
        {"best": 0.75, "s": 0.75, "best_e": 0.0},
        {"e": "a loop variable"},
    ),
    Cell(
        "counter that is reset",
        "wait = 0\nfor e in range(3):\n    if score() > 1:\n        wait = 0\n    else:\n        wait += 1",
        {},
        {},
        {"wait": "a counter"},
    ),
    Cell(
        "losses kept in a list",
        "losses = []\nfor e in range(3):\n    losses.append(train())\nlast = losses[-1]\nbest = min(losses)",
        {},
        {"last": 0.25, "best": 0.25},
        {"losses": "data (list of 3)"},
    ),
    Cell(
        "lists of losses in a dict",
        "h = {'loss': [], 'lr': 0.1}\nfor e in range(2):\n    h['loss'].append(train())\nlast = h['loss'][-1]",
        {"h.lr": "0.1"},
        {"last": 0.25},
    ),
    Cell(
        "a nested config, partly computed",
        "c = {'opt': {'lr': 0.1, 'n': train()}}\na = c['opt']['lr'] * 2\nb = c['opt']['n'] * 2",
        {"c.opt.lr": "0.1", "a": "0.2"},
        {"c.opt.n": 0.25, "b": 0.5},
    ),
    Cell(
        "list filled earlier",
        "best = max(scores)",
        {},
        {"best": 3},
        {"scores": "data (list of 3)"},
        earlier="scores = [1, 2, 3]",
    ),
    Cell(
        "grid search",
        "for C in [0.1, 1.0]:\n    m = LogisticRegression(C=C).fit(X, y)\n    acc = m.score(X, y)",
        {},
        {"acc": ANY},
        {"C": "a loop variable"},
    ),
    Cell(
        "results by key",
        "results = {}\nfor k in ['a', 'b']:\n    results[k] = score(k)",
        {},
        {"results.a": 0.75, "results.b": 0.75},
    ),
    Cell(
        "results of an earlier cell get one more",
        "results['rf'] = score()",
        {},
        {"results.rf": 0.75},
        earlier="results = {'lr': 0.5}",
    ),
    Cell(
        "mixed dict",
        "acc = score()\nresults = {'model': 'rf', 'acc': acc, 'f1': score(1)}",
        {"results.model": "rf"},
        {"acc": 0.75, "results.f1": 0.75},
    ),
    Cell(
        "dict that a function fills", "out = {}\nfill(out)", {}, {"out.acc": 0.5}, earlier="def fill(d): d['acc'] = 0.5"
    ),
    Cell(
        "report",
        "rep = classification_report(y, y, output_dict=True)\nf1 = rep['macro avg']['f1-score']",
        {},
        {"rep.accuracy": 1.0, "rep.macro avg.f1-score": 1.0, "f1": 1.0},
    ),
    Cell("global", "def run():\n    global best\n    best = train()\nrun()", {}, {"best": 0.25}, {"run": "a function"}),
    Cell(
        "a function reads a param",
        "def run(x):\n    return train(x * lr)\nloss = run(1)",
        {"lr": "0.1"},
        {"loss": 0.25},
        earlier="lr = 0.1",
    ),
    Cell(
        "locals of functions are no names", "def run():\n    hidden = 1\n    return hidden\nv = run()", {}, {"v": 1.0}
    ),
    Cell(
        "lambda", "f = lambda a, b=k: a + b + k\nv = f(1)", {"k": "2"}, {"v": 5.0}, {"f": "a function"}, earlier="k = 2"
    ),
    Cell(
        "comprehension names are no names",
        "squares = [v * v for v in (1, 2)]\nn = len(squares)",
        {"squares": "[1, 4]", "n": "2"},
    ),
    Cell("comprehension over data", "s = sum(train(r) for r in X)", {}, {"s": 10.0}),
    Cell(
        "f-string",
        "lr = 0.1\nname = f'run-{lr:.2f}'\nnote = f'{train()}'",
        {"lr": "0.1", "name": "run-0.10"},
        {},
        {"note": "text that was computed"},
    ),
    Cell(
        "numpy scalars",
        "a = np.float32(0.5)\nm = X.mean()\nk = np.argmax(X)\nz = np.array(2.5)",
        {"a": "0.5"},
        {"m": ANY, "z": 2.5},
        {"k": "an index"},
    ),
    Cell(
        "pandas scalars",
        "m = df['a'].mean()\nn = df.shape[0]\nt = df.a.max()",
        {},
        {"m": 2.0, "t": 3.0},
        {"df": "data (DataFrame 3x2)", "n": "a size"},
    ),
    Cell(
        "seed",
        "import random\nseed = 42\nrandom.seed(seed)\nnp.random.seed(seed)",
        {"seed": "42"},
        {},
        {"random": "a module", "np": "a module"},
    ),
    Cell(
        "timer",
        "import time\nt0 = time.time()\nloss = train()\nelapsed = time.time() - t0",
        {},
        {"loss": 0.25, "elapsed": ANY},
        {"t0": "a clock reading"},
    ),
    Cell(
        "timer, imported bare",
        "from time import perf_counter as now\nstart = now()\nsecs = round(now() - start, 3)",
        {},
        {"secs": ANY},
        {"start": "a clock reading"},
    ),
    Cell(
        "timer of an earlier cell",
        "took = time.time() - t0",
        {},
        {"took": ANY},
        {"t0": "a clock reading"},
        earlier="import time\nt0 = time.time()",
    ),
    Cell(
        "datetime",
        "from datetime import datetime\nstart = datetime.now()\ntook = datetime.now() - start",
        {},
        {"took": ANY},
        {"start": "a clock reading"},
    ),
    Cell("date given", "from datetime import date\nday = date(2024, 1, 2)", {"day": "2024-01-02"}),
    Cell(
        "paths",
        "from pathlib import Path\nroot = Path('data') / 'x'\nfile = root.with_suffix('.csv')\nstem = file.stem",
        {"root": "data/x", "file": "data/x.csv", "stem": "x"},
    ),
    Cell(
        "string methods",
        "opt = ' Adam'.strip().lower()\nboth = '-'.join(['a', opt])",
        {"opt": "adam", "both": "a-adam"},
    ),
    Cell("short tuple", "sizes = (64, 32)\nbetas = [0.9, 0.999]", {"sizes": "(64, 32)", "betas": "[0.9, 0.999]"}),
    Cell(
        "short tuple, earlier", "loss = train(sizes)", {"sizes": "(64, 32)"}, {"loss": 0.25}, earlier="sizes = (64, 32)"
    ),
    Cell(
        "thresholds",
        "thresholds = np.linspace(0, 1, 5)\nbest = thresholds[2]",
        {},
        {"best": 0.5},
        {"thresholds": "data (ndarray 5)"},
    ),
    Cell(
        "computed bool and text",
        "ok = score() > 0.5\nlabel = str(score())",
        {},
        {},
        {"ok": "a bool that was computed", "label": "text that was computed"},
    ),
    Cell("private", "_tmp = 3\n__ = 4", {}, {}, {"_tmp": "private"}),
    Cell(
        "environment",
        "import os\nepochs = int(os.environ.get('NO_SUCH', '3'))\nh = os.getenv('NO_SUCH', 'x')",
        {"epochs": "3", "h": "x"},
    ),
    Cell(
        "json", 'import json\ncfg = json.loads(\'{"lr": 0.1, "deep": {"n": 2}}\')', {"cfg.lr": "0.1", "cfg.deep.n": "2"}
    ),
    Cell("yaml", "import yaml\ncfg = yaml.safe_load('lr: 0.1')\nlr = cfg['lr'] / 2", {"cfg.lr": "0.1", "lr": "0.05"}),
    Cell(
        "module constants",
        "import math\ntau = 2 * math.pi\nroot = math.sqrt(4)",
        {"tau": repr(math.tau)},
        {"root": 2.0},
    ),
    Cell("annotated, chained, augmented", "lr: float = 0.1\na = b = 2\na += 1", {"lr": "0.1", "a": "3", "b": "2"}),
    Cell("reassigned", "x = 0.1\nx = train()", {}, {"x": 0.25}),
    Cell(
        "try",
        "try:\n    loss = 1 / 0\nexcept ZeroDivisionError:\n    loss = train()\nfinally:\n    k = 2",
        {"k": "2"},
        {"loss": 0.25},
    ),
    Cell(
        "with",
        "import contextlib\nwith contextlib.nullcontext(3) as v:\n    loss = train()",
        {},
        {"v": 3.0, "loss": 0.25},
    ),
    Cell(
        "match",
        "match kind:\n    case 'a':\n        lr = 0.1\n    case other:\n        lr = 0.2",
        {"kind": "b", "lr": "0.2", "other": "b"},
        earlier="kind = 'b'",
    ),
    Cell(
        "best so far: early stopping",
        "best, best_epoch, wait, patience = 9.0, 0, 0, 2\nstopped = None\nfor epoch in range(9):\n"
        "    loss = train(epoch)\n    if loss < best:\n        best, best_epoch = loss, epoch\n        wait = 0\n"
        "    else:\n        wait += 1\n        if wait >= patience:\n            stopped = epoch\n            break",
        {"patience": "2"},
        {"best": 0.25, "best_epoch": 0.0, "loss": 0.25, "stopped": 2.0},
        {"wait": "a counter", "epoch": "a loop variable"},
    ),
    Cell(
        "best so far: the settings",
        "best = None\nfor lr, opt in [(0.1, 'sgd'), (0.2, 'adam')]:\n    acc = score(lr) + lr\n"
        "    if best is None or acc > best['acc']:\n        best = {'lr': lr, 'opt': opt, 'acc': acc}",
        {},
        {"best.lr": 0.2, "acc": 0.95},
        {"best.opt": "text that was computed", "lr": "a loop variable"},
    ),
    Cell(
        "best so far: skip the rest",
        "best = 0\nfor e in range(3):\n    s = score(e)\n    if s <= best:\n        continue\n    best = s\n    at = e",
        {},
        {"best": 0.75, "s": 0.75, "at": 0.0},
    ),
    Cell(
        "best so far: in one expression",
        "best, at = 0, 0\nfor e in range(3):\n    s = score(e)\n    best, at = (s, e) if s > best else (best, at)",
        {},
        {"best": 0.75, "s": 0.75, "at": 0.0},
    ),
    Cell(
        "a threshold from inputs in a loop is still an input's",
        "wd = 0.0\nfor e in range(3):\n    if e == 1:\n        wd = 0.1\n    width = e * 2",
        {},
        {},
        {"wd": "changes in the loop", "width": "changes in the loop"},
    ),
    Cell(
        "Monte Carlo: hits counted, the estimate computed",
        "n = 4\nhits = 0\nfor _ in range(n):\n    if score() > 0.5:\n        hits += 1\npi = 4 * hits / n",
        {"n": "4"},
        {"pi": 4.0},
        {"hits": "a counter"},
    ),
    Cell(
        "errors counted",
        "bad = 0\nfor row in X:\n    try:\n        1 / 0\n"
        "    except ZeroDivisionError:\n        bad += 1\nshare = bad / 80",
        {},
        {"share": 0.5},
        {"bad": "a counter"},
    ),
    Cell(
        "reduce on plateau",
        "lr = 0.1\nlast = 9.0\nfor e in range(3):\n    loss = train(e)\n    if loss >= last:\n        lr *= 0.5\n"
        "    last = loss",
        {},
        {"lr": 0.025, "last": 0.25, "loss": 0.25},
    ),
    Cell(
        "settings in a plain object",
        "class Config:\n    seed = 7\n    def __init__(self, lr=0.1, n=1):\n        self.lr = lr\n        self.n = n\n"
        "        self.sizes = [64, 32]\ncfg = Config(n=len(X))\nloss = train(cfg.lr)",
        {"cfg.seed": "7", "cfg.lr": "0.1"},
        {"loss": 0.25},
        {"cfg.sizes": "data (list of 2)", "cfg.n": "a size"},
    ),
    Cell(
        "settings in a plain object, earlier",
        "loss = train(cfg.lr)",
        {"cfg.lr": "0.1"},
        {"loss": 0.25},
        earlier="class Config:\n    def __init__(self): self.lr = 0.1\ncfg = Config()",
    ),
    Cell(
        "results in a plain object",
        "r = evaluate()",
        {},
        {"r.acc": 0.75},
        earlier="class Result:\n    def __init__(self, acc): self.acc = acc\ndef evaluate(): return Result(score())",
    ),
    Cell(
        "an object that does something is no settings",
        "m = Meter()\nm.update(train())\nmean = m.total",
        {},
        {"mean": 0.25},
        {"m": "an object (Meter)"},
        earlier="class Meter:\n    def __init__(self): self.total = 0\n    def update(self, v): self.total += v",
    ),
    Cell(
        "nodes of a tree are no settings",
        "root = Node(1)\nroot.left = Node(2)",
        {},
        {},
        {"root": "an object (Node)"},
        earlier="class Node:\n    def __init__(self, v): self.v, self.left = v, None",
    ),
    Cell(
        "named tuples",
        "hp = HP(0.1, 32)\na, b = hp\nr = HP(a, score())\none, two = r\nboth = HP(*pair())",
        {"hp.lr": "0.1", "hp.bs": "32", "a": "0.1", "b": "32", "r.lr": "0.1", "one": "0.1"},
        {"r.bs": 0.75, "two": 0.75, "both.lr": 1.0, "both.bs": 2.0},
        earlier="from collections import namedtuple\nHP = namedtuple('HP', 'lr bs')\ndef pair(): return 1.0, 2.0",
    ),
    Cell(
        "named tuple of an earlier cell",
        "a, b = hp\nloss = train(hp.lr)",
        {"hp.lr": "0.1", "hp.bs": "32", "a": "0.1", "b": "32"},
        {"loss": 0.25},
        earlier="from collections import namedtuple\nhp = namedtuple('HP', 'lr bs')(0.1, 32)",
    ),
    Cell(
        "the result of a statistical test",
        "from scipy import stats\nr = stats.ttest_ind([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])\np = r.pvalue",
        {},
        {"r.statistic": 0.0, "r.pvalue": 1.0, "p": 1.0},
    ),
    Cell(
        "a data set's description is no param",
        "X, y = data.data, data.target\nacc = score()",
        {},
        {"acc": 0.75},
        {"data": "data (Bunch of 8)"},
        earlier="from sklearn.datasets import load_iris\ndata = load_iris()",
    ),
    Cell(
        "results beside an array",
        "out = {'acc': score(), 'matrix': np.eye(2)}",
        {},
        {"out.acc": 0.75},
    ),
    Cell(
        "torch's device and dtype",
        "dev = device('cuda' if score() > 1 else 'cpu')\nkind = float32",
        {"dev": "cpu", "kind": "torch.float32", "float32": "torch.float32"},
        earlier="class device:\n    def __init__(self, name): self.name = name\n"
        "    def __str__(self): return self.name\n"
        "class dtype:\n    def __repr__(self): return 'torch.float32'\n"
        "device.__module__ = dtype.__module__ = 'torch'\nfloat32 = dtype()",
    ),
    Cell(
        "the model's name",
        "m = LogisticRegression()\nname = type(m).__name__\nsame = m.__class__.__name__\n"
        "for one in [m]:\n    last = type(one).__name__",
        {"name": "LogisticRegression", "same": "LogisticRegression"},
        {},
        {"last": "text that was computed"},
    ),
    Cell(
        "path functions and whole numbers",
        "import math, os\npath = os.path.join('models', 'rf.pkl')\nsteps = math.ceil(10 / 4)\n"
        "batches = math.ceil(len(X) / 16)",
        {"path": "models/rf.pkl", "steps": "3"},
        {},
        {"batches": "a size"},
    ),
    Cell(
        "taking one after another",
        "it = iter([1, 2, 3])\ntotal = 0\nwhile (x := next(it, None)) is not None:\n    total += x",
        {},
        {"total": 6.0},
        {"x": "None that was computed"},
    ),
    Cell(
        "confusion matrix, unpacked",
        "from sklearn.metrics import confusion_matrix\ntn, fp, fn, tp = confusion_matrix(y, y).ravel()\n"
        "recall = tp / (tp + fn)",
        {},
        {"tn": ANY, "fp": 0.0, "fn": 0.0, "tp": ANY, "recall": 1.0},
    ),
    Cell(
        "folds",
        "from sklearn.model_selection import KFold\nn_splits = 2\nscores = []\n"
        "for fold, (a, b) in enumerate(KFold(n_splits).split(X)):\n"
        "    m = LogisticRegression().fit(X[a], y[a])\n    scores.append(m.score(X[b], y[b]))\n"
        "cv_mean, cv_std = np.mean(scores), np.std(scores)",
        {"n_splits": "2"},
        {"cv_mean": ANY, "cv_std": ANY},
        {"fold": "a loop variable", "a": "a loop variable", "scores": "data (list of 2)"},
    ),
    Cell(
        "a training loop over batches",
        "epochs, batch_size = 2, 16\nhistory = {'loss': []}\nfor epoch in range(epochs):\n"
        "    running, correct, seen = 0.0, 0, 0\n"
        "    for i in range(0, len(X), batch_size):\n        xb, yb = X[i:i + batch_size], y[i:i + batch_size]\n"
        "        running += train(xb)\n        correct += (yb == 0).sum().item()\n        seen += len(yb)\n"
        "    history['loss'].append(running / seen)\n    train_acc = correct / seen\nfinal = history['loss'][-1]",
        {"epochs": "2", "batch_size": "16"},
        {"running": 0.75, "correct": ANY, "train_acc": ANY, "final": ANY},
        {"epoch": "a loop variable", "i": "a loop variable", "seen": "a size"},
    ),
    Cell(
        "search with a grid",
        "from sklearn.model_selection import GridSearchCV\ngrid = {'C': [0.1, 1.0]}\n"
        "gs = GridSearchCV(LogisticRegression(), grid, cv=2).fit(X, y)\n"
        "best_C = gs.best_params_['C']\ncv = gs.best_score_",
        {"grid.C": "[0.1, 1.0]", "best_C": "0.1", "gridsearchcv.cv": "2"},
        {"cv": ANY},
        {"gs": "a model (GridSearchCV)"},
    ),
    Cell(
        "a trainer class",
        "class Trainer:\n    def __init__(self, lr): self.lr, self.history = lr, []\n    def fit(self):\n"
        "        for e in range(2): self.history.append(train(e))\n        return self\n"
        "lr = 0.05\nt = Trainer(lr).fit()\nfinal = t.history[-1]",
        {"lr": "0.05"},
        {"final": 0.25},
        {"t": "a model (Trainer)", "Trainer": "a class"},
    ),
    Cell("only printing", "print(accuracy_score(y, y))", {}, {}, {"y": "data (ndarray 40)"}),
    Cell("del", "tmp = 1\ndel tmp\nk = 2", {"k": "2"}),
    Cell("await", "import asyncio\nasync def f():\n    return 0.5\nv = await f()", {}, {"v": 0.5}),
    Cell("shadowed builtin", "def max(*a): return 0.5\nv = max(1, 2)", {}, {"v": 0.5}, {"max": "a function"}),
    Cell("builtins on inputs", "a = max(1, 2)\nb = round(abs(-2.5))\nc = len('abc')", {"a": "2", "b": "2", "c": "3"}),
    Cell("nan and inf", "a = train() * float('nan')\nb = train() * float('inf')", {}, {"a": ANY, "b": math.inf}),
    Cell(
        "huge, complex",
        "big = train() and 10 ** 400\nz = train() * 1j",
        {},
        {},
        {"big": "a number too large for a metric", "z": "a complex that was computed"},
    ),
    Cell(
        "decimal and fraction",
        "from decimal import Decimal\nfrom fractions import Fraction\na = Decimal('0.1')\nb = Fraction(1, 2) * mk()",
        {"a": "0.1"},
        {"b": 1.0},
        earlier="def mk(): return 2",
    ),
    Cell(
        "secrets",
        "api_key = 'abc'\npassword = 'x'\nmax_tokens = 100\ncfg = {'lr': 0.1, 'db': {'password': 'x'}}",
        {"max_tokens": "100", "cfg.lr": "0.1"},
        {},
        {"api_key": "a secret", "password": "a secret", "cfg.db.password": "a secret"},
    ),
    Cell("a secret by its value", "uri = 'postgres://me:hunter22@host/db'", {}, {}, {"uri": "a secret"}),
    Cell(
        "options win",
        "lr = 0.1\nfor epoch in range(3):\n    loss = train()",
        {"loss": "0.25"},
        {"epoch": 2.0},
        {"other": ""},
        options={"choices": Choices(params=("loss",), metrics=("epoch",), skip=("lr",))},
    ),
    Cell(
        "a forced metric that is no number",
        "name = 'abc'",
        {},
        {},
        {"name": "not a number (str 'abc')"},
        options={"choices": Choices(metrics=("name",))},
    ),
    Cell(
        "grid's best",
        "from sklearn.model_selection import GridSearchCV\n"
        "g = GridSearchCV(LogisticRegression(), {'C': [0.1, 1.0]}, cv=2).fit(X, y)\n"
        "best = g.best_params_\ntop = g.best_score_",
        {"best.C": "0.1", "param_grid.C": "[0.1, 1.0]", "cv": "2"},
        {"top": ANY},
        {"g": "a model (GridSearchCV)"},
    ),
    Cell(
        "k folds",
        "from sklearn.model_selection import KFold\nscores = []\nfor fold, (tr, te) in enumerate(KFold(3).split(X)):\n"
        "    scores.append(score(tr))\nmean = np.mean(scores)",
        {"n_splits": "3"},
        {"mean": 0.75},
        {"fold": "a loop variable", "scores": "data (list of 3)"},
    ),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.about)
def test_cell(cell: Cell) -> None:
    namespace = fresh(EARLIER)
    namespace.update(fresh(EARLIER + "\n" + cell.earlier))
    captured = capture(cell.code, namespace, **cell.options)

    found = params(captured)
    if "best.C" in cell.params:
        assert found.keys() == cell.params.keys()
    else:
        assert found == cell.params
    measured = metrics(captured)
    if "rep.accuracy" in cell.metrics:
        measured = {name: measured[name] for name in cell.metrics}
    assert measured.keys() == cell.metrics.keys()
    for name, value in cell.metrics.items():
        assert value is ANY or measured[name] == pytest.approx(value), name
    reasons = skipped(captured)
    for name, reason in cell.skipped.items():
        assert reasons.get(name, "") == reason, name
    assert not set(reasons) & (set(found) | set(measured))
    assert not captured.notes


def test_there_are_enough_cells() -> None:
    assert len(CELLS) >= 60
