"""Makes mutants of a Python source with cosmic-ray's operators, and one of our own.

cosmic-ray changes the source text of any statement: module constants, defaults and decorated
functions too, which tools that patch functions leave out.
"""

import ast
import difflib
import random
from dataclasses import dataclass

import parso
from cosmic_ray.ast import Visitor, get_ast, is_number
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.provider import OperatorProvider

# The first two need arguments, names of variables; the last does not know exceptions with a dot.
LEFT_OUT = ("VariableReplacer", "VariableInserter", "ExceptionReplacer")
MOST = 2  # mutants at one place: there are eleven others for each operator of two numbers


class ScaleNumber(Operator):
    """Makes a number that is no whole one larger or smaller, such as a tolerance."""

    FACTORS = (2, 0.5)

    def mutation_positions(self, node):
        """Yields the place of a number that is no whole one, once for each factor."""
        if is_number(node) and isinstance(ast.literal_eval(node.value), float):
            for _ in self.FACTORS:
                yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        """Returns the number times a factor."""
        value = ast.literal_eval(node.value) * self.FACTORS[index]
        return parso.python.tree.Number(f" {value}", node.start_pos)

    @classmethod
    def examples(cls):
        """Returns what the operator does to a tolerance."""
        return (
            Example("LIMIT = 0.25", "LIMIT = 0.5"),
            Example("LIMIT = 0.25", "LIMIT = 0.125", occurrence=1),
        )


def operators() -> dict[str, Operator]:
    """Returns all operators by name."""
    provider = OperatorProvider()
    found = {name: provider[name]() for name in provider if name not in LEFT_OUT}
    return found | {ScaleNumber.__name__: ScaleNumber()}


@dataclass(frozen=True)
class PythonMutant:
    """A source with one fault."""

    module: str
    operator: str
    line: int  # where the fault is, from 1
    before: str  # the lines that change, without the spaces around them
    after: str
    text: str  # text of the whole faulty source


class _Places(Visitor):
    """Collects where an operator applies, in the order in which cosmic-ray counts occurrences."""

    def __init__(self, operator: Operator):
        self.operator = operator
        self.found: list[tuple] = []

    def visit(self, node):
        """Returns the node, after its places are noted."""
        self.found += self.operator.mutation_positions(node)
        return node


def mutants(module: str, source: str, most: int = MOST) -> list[PythonMutant]:
    """Returns mutants of a source that are other code, each once, at most `most` at a place.

    Which of the many mutants at a place is taken follows from the text of its line alone, so that
    other mutants stay the same when a line changes.
    """
    places: dict[tuple, list[tuple[str, int]]] = {}
    known = operators()
    for name, operator in known.items():
        visitor = _Places(operator)
        visitor.walk(get_ast(source))
        for occurrence, place in enumerate(visitor.found):
            places.setdefault(tuple(place), []).append((name, occurrence))
    seen = {ast.dump(ast.parse(source))}
    found = []
    lines = source.splitlines()
    for place, applied in sorted(places.items()):
        line = lines[place[0][0] - 1].strip()
        random.Random(line).shuffle(applied)
        left = most
        for name, occurrence in applied:
            if not left:
                break
            text = mutate_code(source, known[name], occurrence)
            try:
                code = ast.dump(ast.parse(text))
            except (SyntaxError, ValueError):
                continue  # nobody could write it
            if code not in seen:
                seen.add(code)
                found.append(PythonMutant(module, name, *_change(source, text), text))
                left -= 1
    return found


def _change(source: str, text: str) -> tuple[int, str, str]:
    """Returns the line of the first difference, and the lines before and after the change."""
    old, new = source.splitlines(), text.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    changed = [block for block in matcher.get_opcodes() if block[0] != "equal"]
    first, last = changed[0], changed[-1]
    before, after = old[first[1] : last[2]], new[first[3] : last[4]]
    return first[1] + 1, *(" ".join(" ".join(lines).split()) for lines in (before, after))
