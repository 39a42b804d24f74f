"""Generated cells, whose roles are known because they were generated from them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from .cells import capture, fresh, metrics, params, skipped

EARLIER = "def f(*a): return 0.5\nk_out = 7\ndata = [[1, 2], [3, 4]]"
SECRET = "geheim" + "nis123"


@dataclass(frozen=True)
class Piece:
    """A few lines that bind ``{n}``, and what ``{n}`` then is."""

    code: str
    role: str


INPUTS = [
    "{n} = 3", "{n} = 0.5", "{n} = 'adam'", "{n} = -1.5", "{n} = k_out * 2", "{n} = int('4')", "{n} = f'{{k_out}}-x'",
    "{n} = (1, 2)", "{n} = True", "{n} = 1 if f() > 1 else 2", "if f() > 1:\n    {n} = 1\nelse:\n    {n} = 2",
    "{n}, _ = 1, 2", "({n} := 5)", "{n} = max(3, k_out)", "{n} = {{'a': 2}}['a']", "{n}: int = 3", "{n} = 1\n{n} += 2",
    "with open('/dev/null') as _:\n    {n} = 4", "try:\n    {n} = 1\nexcept OSError:\n    {n} = 2",
    "{n} = [v for v in (1, 2)][0]", "{n} = 'A'.lower()", "for _ in data:\n    {n} = 3",
]  # fmt: skip
RESULTS = [
    "{n} = f()", "{n} = f() + 1", "{n} = f(k_out) * 2", "{n} = round(f(), 2)", "for _ in range(2):\n    {n} = f()",
    "{n} = 0\nfor _ in range(2):\n    {n} += f()", "{n} = sum(f(v) for v in range(3))", "{n} = [f(), 1][0]",
    "{n} = {{'a': f()}}['a']", "if f() > 0:\n    {n} = f()\nelse:\n    {n} = 0.0", "_, {n} = 1, f()", "({n} := f())",
    "while True:\n    {n} = f()\n    break", "def g_{n}():\n    global {n}\n    {n} = f()\ng_{n}()",
    "{n} = f() if f() else 0.0",
    "{n} = data[0][0] * f()", "try:\n    {n} = f()\nfinally:\n    pass",
    "l_{n} = []\nl_{n}.append(f())\n{n} = l_{n}[-1]",
]  # fmt: skip
NEITHER = [
    "for {n} in range(3):\n    pass", "{n} = 0\nfor _ in data:\n    {n} += 1", "{n} = f() > 1", "{n} = str(f())",
    "for _i in range(3):\n    {n} = _i * 2", "def {n}():\n    pass", "import os as {n}", "class {n}:\n    pass",
    "{n} = 0.1\nfor _ in range(2):\n    {n} *= 0.5", "{n} = list(range(100))", "{n} = object()",
    "{n}_password = '" + SECRET + "'\n{n} = f'{{{n}_password}}' if f() > 1 else str(f())",
]  # fmt: skip
PIECES = [
    *(Piece(code, "param") for code in INPUTS),
    *(Piece(code, "metric") for code in RESULTS),
    *(Piece(code, "skipped") for code in NEITHER),
]
CELLS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8)


def write(pieces: list[Piece]) -> tuple[str, dict[str, str]]:
    names = [f"v{number}" for number in range(len(pieces))]
    code = "\n".join(piece.code.format(n=name) for name, piece in zip(names, pieces, strict=True))
    return code, {name: piece.role for name, piece in zip(names, pieces, strict=True)}


def roles(code: str) -> dict[str, str]:
    captured = capture(code, fresh(EARLIER))
    assert SECRET not in repr(captured)
    found = dict.fromkeys(params(captured), "param")
    found |= dict.fromkeys(metrics(captured), "metric")
    return found | dict.fromkeys(skipped(captured), "skipped")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CELLS)
def test_every_name_gets_its_role(pieces: list[Piece]) -> None:
    code, expected = write(pieces)
    found = roles(code)
    assert {name: found.get(name) for name in expected} == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(CELLS.flatmap(lambda cell: st.tuples(st.just(cell), st.permutations(range(len(cell))))))
def test_the_order_of_independent_pieces_does_not_matter(case: tuple[list[Piece], list[int]]) -> None:
    pieces, order = case
    parts = [piece.code.format(n=f"v{number}") for number, piece in enumerate(pieces)]
    assert roles("\n".join(parts)) == roles("\n".join(parts[i] for i in order))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(INPUTS), st.sampled_from(RESULTS), st.integers(1, 4))
def test_what_follows_from_a_value_has_its_role(given_code: str, computed: str, steps: int) -> None:
    code = given_code.format(n="a0") + "\n" + computed.format(n="b0") + "\n"
    for i in range(steps):
        code += f"a{i + 1} = (a{i}, 1)[0]\nb{i + 1} = (b{i} + {i}) * 1.5\n"
    found = roles(code)
    assert {found[f"a{i}"] for i in range(steps + 1)} == {"param"}
    assert {found[f"b{i}"] for i in range(steps + 1)} == {"metric"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(PIECES), st.sampled_from(["if f() > 0:", "for _ in range(2):", "with open('/dev/null'):", "try:"])
)
def test_inside_a_block_a_result_stays_a_result(piece: Piece, block: str) -> None:
    inner = "\n".join("    " + line for line in piece.code.format(n="v").splitlines())
    tail = "\nexcept OSError:\n    pass" if block == "try:" else ""
    found = roles(block + "\n" + inner + tail)
    if piece.role == "metric":
        assert found["v"] == "metric"
    else:
        assert found.get("v") != "metric"
