"""Cells whose settings stand in calls, in English and Portuguese, and what a careful person would have logged of each.

P are the params, all of them; N are names that none of the records that are logged may have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

EARLIER = """
import numpy as np, pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)); y = (X[:, 0] > 0).astype(int)
df = pd.DataFrame({"preco": [1.0, 2.0, 3.0], "cidade": ["a", "b", "c"]})

def evaluate(depth): return {"acc": 0.5 + depth / 100, "f1": 0.25}
def train_model(depth, criterion, min_leaf): return {"acc": 0.75}
def train(lr, epochs=5, verbose=True, log_path="out.txt", scheduler=None):
    loss = lr
    return {"final_loss": loss}
def treinar(taxa, epocas=10, *, otimizador="adam", colunas=("a", "b")): return {"perda": taxa}
def plot_history(history, alpha=0.5, window=3): return None
def salvar_modelo(modelo, nome="m.pkl", nivel=3): return 1
def desenhar(arvore, profundidade=2): return None
def load_data(n_rows=100, seed=1): return X, y
def confusao(verdade, previsto, normalizar=True):
    import matplotlib.pyplot as plt
    plt.figure(); plt.close()
def relatar(valor, casas=3):
    print(round(valor, casas))
def prepare(frame, column, window=7): return frame
def media_movel(serie, janela=3): return 0.5
def limpar(texto, minimo=2): return texto

class Trainer:
    def __init__(self, lr, momentum=0.9, verbose=False): self.lr, self.momentum = lr, momentum
    def fit(self, X, epochs=3): return self
    def score(self): return 0.5
class Rede:
    def __init__(self, camadas=(64, 32), ativacao="relu"): self.camadas = camadas
    def treinar(self, epocas): return 0.25
    def desenhar(self, largura=3): return None
class Point:
    def __init__(self, x, label="p"): self.x = x; self.other = None
    def norm(self): return 1.0
class Client:
    def __init__(self, **options): self.chat = self.completions = self.messages = self.responses = self
    def create(self, **options): return None
client = Client()
"""


@dataclass(frozen=True)
class Cell:
    about: str
    code: str
    P: dict[str, str] = field(default_factory=dict)
    M: tuple[str, ...] | None = None
    N: tuple[str, ...] = ()
    earlier: str = ""


MODELS = [
    Cell(
        "a forest, fitted at once and printed",
        "clf = RandomForestClassifier(n_estimators=20, max_depth=3, random_state=0).fit(X[:40], y[:40])\n"
        "print('accuracy:', clf.score(X[40:], y[40:]))",
        {"n_estimators": "20", "max_depth": "3", "random_state": "0"},
        N=("clf", "X", "y"),
    ),
    Cell("by position", "model = KMeans(3)\npca = PCA(2)", {"n_clusters": "3", "n_components": "2"}),
    Cell(
        "threads and words are no settings",
        "model = RandomForestClassifier(n_estimators=5, n_jobs=2, verbose=0, warm_start=True)",
        {"n_estimators": "5", "warm_start": "True"},
    ),
    Cell(
        "two that disagree",
        "ridge = Ridge(alpha=1.0)\nlasso = Lasso(alpha=0.1)",
        {"ridge.alpha": "1.0", "lasso.alpha": "0.1"},
    ),
    Cell(
        "two that agree",
        "ridge = Ridge(alpha=0.5, random_state=1)\nlasso = Lasso(alpha=0.5)",
        {"alpha": "0.5", "random_state": "1"},
    ),
    Cell(
        "two of one class",
        "weak = Ridge(alpha=0.1)\nstrong = Ridge(alpha=10.0)",
        {"weak.alpha": "0.1", "strong.alpha": "10.0"},
    ),
    Cell(
        "two of one class without a name of their own",
        "vote = VotingClassifier([('a', KNeighborsClassifier(3)), ('b', KNeighborsClassifier(5))], voting='soft')",
        {"kneighborsclassifier_1.n_neighbors": "3", "kneighborsclassifier_2.n_neighbors": "5", "voting": "soft"},
    ),
    Cell(
        "many of one class: no setting of the run",
        "votes = [('a', KNeighborsClassifier(1)), ('b', KNeighborsClassifier(2)), ('c', KNeighborsClassifier(3)),\n"
        "         ('d', KNeighborsClassifier(4)), ('e', KNeighborsClassifier(5))]",
        {},
    ),
    Cell(
        "a pipeline",
        "pipe = Pipeline([('scale', StandardScaler()), ('svm', SVC(C=10, kernel='rbf', gamma='scale'))]).fit(X, y)",
        {"C": "10", "kernel": "rbf", "gamma": "scale"},
    ),
    Cell(
        "a pipeline in Portuguese, the accuracy measured",
        "modelo = make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=0.1, penalty='l2'))\n"
        "modelo.fit(X, y)\nacuracia = modelo.score(X, y)",
        {"with_mean": "False", "C": "0.1", "penalty": "l2"},
        ("acuracia",),
    ),
    Cell(
        "a variable under another name is logged once",
        "arvores = 30\nfloresta = RandomForestClassifier(n_estimators=arvores, max_depth=None)",
        {"arvores": "30", "max_depth": "None"},
        N=("n_estimators",),
    ),
    Cell(
        "what follows from a variable",
        "reg = 0.5\nmodelo = LogisticRegression(C=1 / reg, max_iter=2 * 500)",
        {"reg": "0.5", "C": "2.0", "max_iter": "1000"},
    ),
    Cell(
        "an entry of a config",
        "cfg = {'C': 2.0, 'kernel': 'linear'}\nsvm = SVC(C=cfg['C'], kernel=cfg['kernel'], degree=2)",
        {"cfg.C": "2.0", "cfg.kernel": "linear", "degree": "2"},
        N=("C", "kernel"),
    ),
    Cell(
        "computed arguments are no settings",
        "modelo = Ridge(alpha=float(X.mean()), max_iter=len(X))\n"
        "forest = RandomForestClassifier(max_features=X.shape[1])",
        {},
        N=("alpha", "max_iter", "max_features"),
    ),
    Cell(
        "a setting of each turn",
        "for C in (0.1, 1.0):\n    model = LogisticRegression(C=C, penalty='l2', max_iter=300).fit(X, y)\n"
        "    acc = model.score(X, y)",
        {"penalty": "l2", "max_iter": "300"},
        ("acc",),
        N=("C", "model.C"),
    ),
    Cell(
        "a comprehension",
        "scores = {k: cross_val_score(KNeighborsClassifier(n_neighbors=k, weights='distance'), X, y).mean()\n"
        "          for k in (3, 5)}",
        {"weights": "distance"},
        N=("n_neighbors", "k"),
    ),
    Cell(
        "split",
        "X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42, shuffle=True)",
        {"test_size": "0.2", "random_state": "42", "shuffle": "True"},
    ),
    Cell(
        "splits that agree with the model's seed",
        "Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)\n"
        "clf = RandomForestClassifier(n_estimators=10, random_state=0).fit(Xa, ya)\nacc = clf.score(Xb, yb)",
        {"test_size": "0.25", "random_state": "0", "n_estimators": "10"},
        ("acc",),
    ),
    Cell(
        "cross-validation",
        "notas = cross_val_score(SVC(C=1.5), X, y, cv=4, scoring='f1')\nmedia = notas.mean()",
        {"C": "1.5", "cv": "4", "scoring": "f1"},
        ("media",),
    ),
    Cell(
        "cross-validation by position and folds",
        "r = cross_validate(Ridge(), X, y, cv=KFold(5, shuffle=True, random_state=1), return_train_score=True)",
        {"n_splits": "5", "shuffle": "True", "random_state": "1"},
        N=("return_train_score", "cv"),
    ),
    Cell(
        "a search",
        "busca = GridSearchCV(SVC(), {'C': [0.1, 1], 'kernel': ['rbf']}, cv=2, refit=True).fit(X, y)",
        {"param_grid.C": "[0.1, 1]", "param_grid.kernel": "['rbf']", "cv": "2", "refit": "True"},
    ),
    Cell(
        "a dict spread in the call",
        "m = SVC(**{'C': 3.0, 'kernel': 'poly'}, degree=2)",
        {"C": "3.0", "kernel": "poly", "degree": "2"},
    ),
    Cell("a dict of the notebook spread", "p = {'C': 3.0}\nm = SVC(**p, degree=2)", {"p.C": "3.0", "degree": "2"}),
    Cell(
        "xgboost's own way",
        "booster = xgb.train({'eta': 0.3, 'max_depth': depth}, xgb.DMatrix(X, y), num_boost_round=3)",
        {"params.eta": "0.3", "depth": "2", "num_boost_round": "3"},
        earlier="import xgboost as xgb\ndepth = 2",
    ),
    Cell(
        "the branch that was run",
        "kind = 'lasso'\nif kind == 'ridge':\n    model = Ridge(alpha=1.0)\nelse:\n    model = Lasso(alpha=0.1)",
        {"kind": "lasso", "alpha": "0.1"},
    ),
    Cell(
        "a branch that only the result tells",
        "if X.mean() > 5:\n    model = Ridge(alpha=1.0)\nelse:\n    model = Lasso(alpha=0.1)",
        {"alpha": "0.1"},
    ),
    Cell(
        "a branch that nothing tells",
        "if X.mean() > 5:\n    r = train(lr=0.1)\nelse:\n    r = train(lr=0.2)",
        {},
    ),
    Cell(
        "main",
        "if __name__ == '__main__':\n    r = train(lr=0.1, epochs=2)",
        {"lr": "0.1", "epochs": "2"},
        ("r.final_loss",),
    ),
    Cell(
        "what only one of two was given",
        "SEED = 7\na = Ridge(random_state=SEED)\nb = Ridge(random_state=SEED + 1)",
        {"SEED": "7", "b.random_state": "8"},
    ),
    Cell(
        "the seed of both, once by name",
        "SEED = 7\na = Ridge(random_state=SEED)\nb = Lasso(random_state=7)",
        {"SEED": "7", "random_state": "7"},
    ),
    Cell(
        "the best one, fitted again",
        "for depth in (1, 2):\n    m = RandomForestClassifier(max_depth=depth, n_estimators=5).fit(X, y)\n"
        "final = RandomForestClassifier(max_depth=2, n_estimators=5).fit(X, y)",
        {"n_estimators": "5", "final.max_depth": "2"},
    ),
    Cell(
        "an expression that picks one",
        "m = SVC(C=3) if X.mean() > 9 else Ridge(alpha=2)",
        {"alpha": "2"},
    ),
    Cell("a second try", "try:\n    m = SVC(C=3)\nexcept ValueError:\n    m = SVC(C=5)", {"C": "3"}),
    Cell("branches alike", "if X.mean() > 9:\n    m = SVC(C=3)\nelse:\n    m = SVC(C=5)", {}),
    Cell("nothing new", "novo = modelo.fit(X, y)", {}, earlier="modelo = Ridge(alpha=3.0)"),
    Cell(
        "a magic",
        "get_ipython().run_line_magic('time', 'm = SVC(C=4.0).fit(X, y)')",
        {"C": "4.0"},
        earlier="from types import SimpleNamespace\n"
        "def get_ipython(): return SimpleNamespace(run_line_magic=lambda name, code: exec(code, globals()))",
    ),
]

OWN = [
    Cell(
        "by keyword",
        "result = train_model(depth=3, criterion='entropy', min_leaf=5)",
        {"depth": "3", "criterion": "entropy", "min_leaf": "5"},
        ("result.acc",),
    ),
    Cell(
        "by position, as the last line",
        "train_model(3, 'gini', min_leaf=5)",
        {"depth": "3", "criterion": "gini", "min_leaf": "5"},
    ),
    Cell("in a loop", "for depth in (1, 2, 3):\n    res = evaluate(depth)", {}, N=("depth",)),
    Cell("in a loop, changed", "for k in (1, 2):\n    res = evaluate(k * 2)", {}, N=("depth",)),
    Cell("defaults", "result = train(lr=0.1)", {"lr": "0.1", "epochs": "5"}, ("result.final_loss",)),
    Cell(
        "defaults by keyword only",
        "saida = treinar(0.01)",
        {"taxa": "0.01", "epocas": "10", "otimizador": "adam"},
        ("saida.perda",),
        N=("colunas",),
    ),
    Cell(
        "a dict given directly",
        "r = fit({'lr': 0.1, 'opt': {'name': 'adam', 'beta': 0.9}})",
        {"config.lr": "0.1", "config.opt.beta": "0.9"},
        earlier="def fit(config): return 0.5",
    ),
    Cell(
        "a dict made by dict",
        "r = fit(params=dict(lr=0.1, depth=n))",
        {"params.lr": "0.1", "n": "3"},
        earlier="n = 3\ndef fit(params): return 0.5",
    ),
    Cell(
        "a config of the notebook",
        "r = fit(cfg)",
        {"cfg.lr": "0.1"},
        N=("config",),
        earlier="cfg = {'lr': 0.1}\ndef fit(config): return 0.5",
    ),
    Cell(
        "arguments of another call",
        "r = fit(*args, **options)",
        {"options.lr": "0.1"},
        N=("epochs",),
        earlier="args = [X]\noptions = {'lr': 0.1}\ndef fit(X, lr, epochs=3): return 0.5",
    ),
    Cell(
        "two calls that disagree",
        "raso = evaluate(3)\nfundo = evaluate(9)",
        {"raso.depth": "3", "fundo.depth": "9"},
        ("raso.acc", "raso.f1", "fundo.acc", "fundo.f1"),
    ),
    Cell("two calls without a name", "evaluate(3)\nevaluate(9)", {"evaluate_1.depth": "3", "evaluate_2.depth": "9"}),
    Cell(
        "plots",
        "plot_history(history, alpha=0.1)\ndesenhar(history, 4)\nconfusao(y, y)",
        {},
        earlier="history = [1, 2]",
    ),
    Cell("saving and reading", "salvar_modelo(X, 'a.pkl', 5)\nload_data(50)", {}),
    Cell("printing", "relatar(X.mean(), casas=2)\nprint('x', sep='-')", {}),
    Cell(
        "columns, texts and data",
        "d = prepare(df, 'preco', window=3)\nt = limpar('um texto', 3)",
        {"window": "3", "minimo": "3"},
    ),
    Cell("what is only drawn", "plot_history(media_movel([1, 2], janela=5))", {}),
    Cell(
        "what is saved was trained",
        "salvar_modelo(train(0.1))\nlogger.info(evaluate(3))",
        {"lr": "0.1", "epochs": "5", "depth": "3"},
        earlier="import logging\nlogger = logging.getLogger('x')",
    ),
    Cell("what is printed is a result", "print(media_movel(serie, janela=5))", {"janela": "5"}, earlier="serie = X"),
    Cell(
        "a class",
        "t = Trainer(0.05).fit(X, epochs=7)\nnota = t.score()",
        {"lr": "0.05", "momentum": "0.9", "epochs": "7"},
        ("nota",),
        N=("verbose",),
    ),
    Cell(
        "a class in Portuguese, its method called later",
        "perda = rede.treinar(epocas=4)\nrede.desenhar(largura=2)",
        {"epocas": "4"},
        ("perda",),
        earlier="rede = Rede()",
    ),
    Cell("a class's defaults", "rede = Rede(ativacao='tanh')", {"camadas": "(64, 32)", "ativacao": "tanh"}),
    Cell("a plain object is no model", "p = Point(3, label='q')", {}),
    Cell("a lambda has no settings", "f = lambda v, k=2: v * k\nr = f(3)", {}, ("r",)),
    Cell("another name for it", "ajustar = train\nr = ajustar(lr=0.3)", {"lr": "0.3", "epochs": "5"}),
    Cell(
        "decorated",
        "r = medir(train)(0.1)\ns = rapido(0.2, passos=4)",
        {"taxa": "0.2", "passos": "4"},
        earlier="import functools\ndef medir(f):\n    @functools.wraps(f)\n    def inner(*a, **k): return f(*a, **k)\n"
        "    return inner\n@medir\ndef rapido(taxa, passos=2): return 0.5",
    ),
    Cell(
        "a name that is a metric already",
        "depth = evaluate(4)['acc']",
        {"evaluate.depth": "4"},
        ("depth",),
    ),
    Cell(
        "showing, in other words",
        "mostra_matriz(X, 4)\nimprime(3)\nlog_result('acc', casas=3)\nresumo = avaliar(X, digitos=3)",
        {},
        earlier="def mostra_matriz(m, tam=2): return m\ndef imprime(valor, n=2): return valor\n"
        "def log_result(nome, casas=2): return nome\ndef avaliar(m, digitos=2): return None",
    ),
    Cell(
        "training that only prints",
        "treinar_rede(0.1)\nlog_reg(C=2.0)",
        {"taxa": "0.1", "passos": "2", "C": "2.0"},
        earlier="def treinar_rede(taxa, passos=2):\n    for _ in range(passos):\n        print(taxa)\n"
        "def log_reg(C): return 0.5",
    ),
    Cell(
        "an environment",
        "s = env.step(1)\nagente = Agente(gamma=0.9)",
        {"gamma": "0.9"},
        earlier="class Env:\n    def step(self, acao): return object()\nenv = Env()\n"
        "class Agente:\n    def __init__(self, gamma): pass\n    def act(self, s): return 1",
    ),
    Cell("numbers without a meaning", "r = soma(2, 3)", {}, ("r",), earlier="def soma(a, b): return a + b"),
    Cell(
        "a random draw", "d = int(rng.integers(2, 8))\nr = evaluate(int(rng.integers(2, 8)))", {"d": "*"}, N=("depth",)
    ),
    Cell("inside a function of the cell", "def run():\n    return evaluate(5)\nr = run()", {}, N=("depth",)),
    Cell(
        "a decorator of the cell",
        "@repetir(vezes=3)\ndef f(): return 1",
        {},
        earlier="def repetir(vezes): return lambda f: f",
    ),
    Cell(
        "an author's own log call",
        "log_param('alpha', 0.5)\nr = train(lr=0.1)",
        {"lr": "0.1", "epochs": "5"},
        earlier="def log_param(key, value): return None",
    ),
]

HASH = "185f8db32271"
"""The first digits of the SHA-256 of ``Hello``."""

REQUESTS = [
    Cell(
        "a chat",
        "r = client.chat.completions.create(model='gpt-4o', temperature=0.2, max_tokens=50, timeout=30,\n"
        "    messages=[{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hello'}])",
        {"model": "gpt-4o", "temperature": "0.2", "max_tokens": "50", "messages.length": "14", "messages.sha256": "*"},
        N=("timeout", "messages"),
    ),
    Cell(
        "a text",
        "r = client.responses.create(model='gpt-4.1-mini', input='Hello')",
        {"model": "gpt-4.1-mini", "input.sha256": HASH, "input.length": "5"},
    ),
    Cell(
        "a text in a variable",
        "pergunta = 'Hello'\nr = client.messages.create(model='claude', top_p=0.9, system=pergunta, messages=[])",
        {"model": "claude", "top_p": "0.9", "system.sha256": HASH, "system.length": "5"},
        N=("pergunta",),
    ),
    Cell(
        "a text made of one",
        "tema = 'sol'\nr = client.responses.create(model='m', input=f'Fale de {tema}')",
        {"tema": "sol", "model": "m", "input.sha256": "*", "input.length": "11"},
    ),
    Cell(
        "two models",
        "a = client.responses.create(model='m1', input='Hello')\n"
        "b = client.responses.create(model='m2', input='Hello')",
        {"a.model": "m1", "b.model": "m2", "input.sha256": HASH, "input.length": "5"},
    ),
    Cell("no request", "r = client.messages.create(body='Hello', to='me')", {}),
    Cell(
        "a conversation that went on",
        "messages = [{'role': 'user', 'content': 'Hello'}]\n"
        "r = client.chat.completions.create(model='m', messages=messages)\n"
        "messages.append({'role': 'assistant', 'content': 'Hi'})",
        {"model": "m"},
    ),
]

LIBRARIES_EARLIER = """
def _made(module, name, bases=(), **members):
    return type(name, bases, {"__module__": module, **members})
def _init(self, *args, **kwargs): pass
def _linear(self, in_features, out_features, bias=True): pass
def _dropout(self, p=0.5): pass
def _adam(self, params, lr=0.001, betas=(0.9, 0.999), weight_decay=0): pass
def _loader(self, dataset, batch_size=1, shuffle=None, num_workers=0): pass
def _dense(self, units, activation=None): pass
def _compile(self, optimizer="rmsprop", loss=None, metrics=None): pass
def _fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", validation_split=0.0): return self
def _arguments(self, output_dir, num_train_epochs=3, learning_rate=5e-5, logging_steps=10): pass
def _pretrained(cls, pretrained_model_name_or_path, num_labels=2): return cls()
for _f in (_init, _linear, _dropout, _adam, _loader, _dense, _compile, _fit, _arguments, _pretrained):
    _f.__module__ = "transformers.library"
_pretrained.__name__ = "from_pretrained"
Module = _made("torch.nn.modules.module", "Module", forward=_init)
Linear = _made("torch.nn.modules.linear", "Linear", (Module,), __init__=_linear)
Dropout = _made("torch.nn.modules.dropout", "Dropout", (Module,), __init__=_dropout)
Sequential = _made("torch.nn.modules.container", "Sequential", (Module,), __init__=_init)
Adam = _made("torch.optim.adam", "Adam", __init__=_adam, step=_init)
DataLoader = _made("torch.utils.data.dataloader", "DataLoader", __init__=_loader)
Dense = _made("keras.src.layers.core.dense", "Dense", __init__=_dense)
Model = _made("keras.src.models.sequential", "Sequential", __init__=_init, fit=_fit, compile=_compile, predict=_init)
TrainingArguments = _made("transformers.training_args", "TrainingArguments", __init__=_arguments)
AutoModel = _made("transformers.models.auto", "AutoModel", __init__=_init, from_pretrained=classmethod(_pretrained))
Axes = _made("matplotlib.axes", "Axes", __init__=_init, step=_init, fit=_init)
"""

LIBRARIES = [
    Cell(
        "torch: layers, an optimizer, loaders",
        "net = Sequential(Linear(30, 64), Dropout(0.2), Linear(64, 1))\n"
        "optimizer = Adam(net, lr=0.01, weight_decay=1e-4)\n"
        "treino = DataLoader(X, batch_size=32, shuffle=True, num_workers=2)\n"
        "teste = DataLoader(X, batch_size=32, shuffle=False)",
        {
            "p": "0.2",
            "lr": "0.01",
            "weight_decay": "0.0001",
            "batch_size": "32",
            "treino.shuffle": "True",
            "teste.shuffle": "False",
        },
    ),
    Cell(
        "torch: a network of the notebook",
        "net = Net(hidden=16)",
        {"hidden": "16", "dropout": "0.1"},
        earlier="class Net(Module):\n    def __init__(self, hidden, dropout=0.1): pass\n"
        "    def forward(self, x): return x",
    ),
    Cell(
        "keras",
        "model = Model([Dense(64, activation='relu'), Dense(1, activation='sigmoid')])\n"
        "model.compile(optimizer='adam', loss='mse', metrics=['accuracy'])\n"
        "historia = model.fit(X, y, epochs=10, batch_size=16, validation_split=0.1, verbose=0)",
        {"optimizer": "adam", "loss": "mse", "epochs": "10", "batch_size": "16", "validation_split": "0.1"},
    ),
    Cell(
        "transformers",
        "base = AutoModel.from_pretrained('distilbert-base-uncased', num_labels=2)\n"
        "args = TrainingArguments(output_dir='out', num_train_epochs=2, learning_rate=2e-5, logging_steps=5)",
        {
            "pretrained_model_name_or_path": "distilbert-base-uncased",
            "num_train_epochs": "2",
            "learning_rate": "2e-05",
        },
    ),
    Cell("a plot's axes are no model", "ax = Axes(width=3)\nax.step(X, 2)", {}),
]
