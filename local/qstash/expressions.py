"""Retry-delay expressions such as `max(1000, pow(2, retried) * 100)`, computed without running any code.

Every number is a float, so that no expression can grow beyond what a float holds.
"""

import ast
import math
import operator
from collections.abc import Callable

_MAX_LENGTH = 200

_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: math.fmod,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def _round(number: float) -> float:
    """Halves go away from zero, as in most languages but Python."""
    return math.copysign(math.floor(abs(number) + 0.5), number)


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "pow": math.pow,
    "sqrt": math.sqrt,
    "abs": abs,
    "exp": math.exp,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": _round,
    "min": min,
    "max": max,
}


def evaluate(expression: str, retried: int) -> float:
    """The value in milliseconds, infinite where it is too large for a float; ValueError where it has none."""
    if len(expression) > _MAX_LENGTH:
        raise ValueError(f"longer than {_MAX_LENGTH} characters")
    try:
        return float(_value(ast.parse(expression.strip(), mode="eval").body, float(retried)))
    except OverflowError:
        return math.inf
    except SyntaxError as error:
        raise ValueError(f"not an expression: {error.msg}") from error
    except (TypeError, ZeroDivisionError) as error:
        raise ValueError(str(error)) from error


def _value(node: ast.expr, retried: float) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id="retried"):
            return retried
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand, retried))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, retried), _value(right, retried))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_value(argument, retried) for argument in args))
    raise ValueError(f"unsupported: {ast.unparse(node)}")
