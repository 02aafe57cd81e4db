"""Words for people: English in the code, where they are said, and translatable as long as they stay a Text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Value = str | int | float


class Text(str):
    """A sentence made of a template and what its `{placeholders}` stand for. As a string it is the English.

    Programs and logs get the English; a page looks up the template in its language (lib/web/translation.py). A value
    may be a Text itself.
    """

    template: str
    values: Mapping[str, Value]

    def __new__(cls, template: str, /, **values: Value) -> Text:
        text = super().__new__(cls, template.format(**values))
        text.template = template
        text.values = values
        return text

    @classmethod
    def of(cls, words: str) -> Text:
        """Words that come from elsewhere stay as they are in every language; a Text stays what it is."""
        return words if isinstance(words, Text) else cls("{words}", words=words) if words else cls("")

    def map(self, change: Callable[[str], str]) -> Text:
        """The same with every value changed, such as by a redaction; the template is ours and holds no secret."""
        return Text(self.template, **{name: _mapped(value, change) for name, value in self.values.items()})

    def translated(self, catalogue: Mapping[str, str]) -> str:
        """In the catalogue's language; English where it lacks the template."""
        values = {
            name: value.translated(catalogue) if isinstance(value, Text) else value
            for name, value in self.values.items()
        }
        return catalogue.get(self.template, self.template).format(**values)

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Value]]:
        """How a copy is made: of the template, not of the finished sentence."""
        return (self.template,), dict(self.values)


def _mapped(value: Value, change: Callable[[str], str]) -> Value:
    if isinstance(value, Text):
        return value.map(change)
    return change(value) if isinstance(value, str) else value
