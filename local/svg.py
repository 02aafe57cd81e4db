"""Pictures for the documents: an SVG that can be read on a light and on a dark page."""

from collections.abc import Iterable
from xml.sax.saxutils import escape

_STYLE = """
  text { font: 13px system-ui, "Segoe UI", sans-serif; fill: #1f2933 } .title { font-size: 16px; font-weight: 600 }
  .soft { fill: #616e7c; font-size: 12px } .page { fill: #ffffff } .grid { stroke: #d9dfe5 } .error { stroke: #1f2933 }
  .bar { fill: #9fb3c8 } .ours { fill: #2680c2 } .end { text-anchor: end } .middle { text-anchor: middle }
  .line { fill: none; stroke: #2680c2; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .soft { fill: #9aa5b1 } .page { fill: #161b22 } .grid { stroke: #323f4b }
    .error { stroke: #e4e7eb } .bar { fill: #52667a } .ours { fill: #4098d7 } .line { stroke: #4098d7 }
  }
"""


def document(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """The whole file, its title at the top."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><style>{_STYLE}</style><rect class="page" width="{width}" height="{height}"/>'
    )
    return "\n".join([head, text(20, 34, title, "title"), *parts, "</svg>\n"])


def text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def bar(x: float, y: float, width: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/>'


def vertical(x: float, top: float, bottom: float, style: str = "grid") -> str:
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'
