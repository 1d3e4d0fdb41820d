"""The page of models, `docs/models.md`: the registry as a person reads it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

from bedrock_quota.registry.models import ANY_PROVIDER, Burndown, Model, ModelKind, Provider, Registry

_INTRO = """\
# Models

{models} models of {providers} providers, as `registry/models/*.toml` has them. `quota-monitor registry write` writes
this page from there: change those files, not this one. [Adding a model](adding-models.md) says how.

A **burndown rate** is how many tokens of quota one output token costs. Its status says how sure it is:

- **listed**: a page of AWS names the rate ({listed} models).
- **ambiguous**: two pages of AWS disagree, as the source under the table says ({ambiguous}).
- **unlisted**: no page of AWS that was read names the model; the rate is assumed from its siblings ({unlisted}).

Where a rate changed, its history is kept, and a call counts at the rate of its day. **Max output** is the model's own
limit on `max_tokens`; **default** is what a request without a limit counts as, the maximum itself where none is given.
Models that answer with anything but text have no output tokens that a quota counts. **Quota names** are how Service
Quotas spells the model after "… for"; a model without one has no quota that is known by name. **Read in** says where
the output limit and the rate come from, by the numbers under each table.
"""

_HEADINGS = (
    "Model", "Id", "Kind", "Max output", "Default", "Burndown rate", "Status", "Quota names", "Read in",
)  # fmt: skip


def render(known: Registry) -> str:
    """Return the whole page in Markdown."""
    counts = Counter(history(known, model)[-1].status.value for model in known.models)
    named = [provider for provider in known.providers if provider.id != ANY_PROVIDER]
    parts = [
        _INTRO.format(
            models=len(known.models),
            providers=len(named),
            listed=counts["listed"],
            ambiguous=counts["ambiguous"],
            unlisted=counts["unlisted"],
        )
    ]
    other = known.provider_by_id[ANY_PROVIDER]
    parts += [
        "\n".join(_section(known, provider))
        for provider in (*sorted(named, key=lambda each: each.name.casefold()), other)
    ]
    return "\n".join(parts)


def history(known: Registry, model: Model) -> tuple[Burndown, ...]:
    """Return a model's burndown rates, oldest first: its own, or its provider's."""
    return model.burndown or known.find_provider(model.id).burndown


def _section(known: Registry, provider: Provider) -> Iterator[str]:
    sources: dict[str, int] = {}
    models = [model for model in known.models if known.find_provider(model.id).id == provider.id]
    yield f"## {_cell(provider.name)}"
    yield ""
    yield _assumption(known, provider)
    yield ""
    if models:
        yield _row(_HEADINGS)
        yield _row("---:" if heading in {"Max output", "Default"} else "---" for heading in _HEADINGS)
        yield from (_row(_cells(model, history(known, model), sources)) for model in models)
        yield ""
        yield from (f"{number}. {_cell(source)}" for source, number in sources.items())
        yield ""


def _assumption(known: Registry, provider: Provider) -> str:
    subject = "provider" if provider.id == ANY_PROVIDER else f"model of {_cell(provider.name)}"
    rate = known.find_burndown(f"{provider.id}.", date.max).rate
    most = known.provider_by_id[provider.id].max_output_tokens
    return (
        f"A {subject} that is not on this page counts at {rate:g}× and, where a request gives no limit, with "
        f"{most:,} output tokens."
    )


def _cells(model: Model, rates: tuple[Burndown, ...], sources: dict[str, int]) -> Iterator[str]:
    yield _cell(model.name)
    yield f"`{model.id}`"
    yield model.kind
    yield _amount(model.max_output_tokens)
    yield _amount(model.default_max_tokens)
    yield f"{rates[0].rate:g}×" if len(rates) == 1 else ", ".join(f"{each.rate:g}× from {each.since}" for each in rates)
    yield rates[-1].status
    shared = f"those of `{model.shares_quotas_with}`" if model.shares_quotas_with else "–"
    yield "<br>".join(map(_cell, model.quota_names)) or shared
    read_in = [f"{'limit' if model.kind is ModelKind.TEXT else 'id'} {_number(sources, model.source)}"]
    read_in += [f"rate {_number(sources, each)}" for each in dict.fromkeys(rate.source for rate in rates)]
    yield ", ".join(read_in)


def _number(sources: dict[str, int], source: str) -> str:
    return str(sources.setdefault(source, len(sources) + 1))


def _amount(tokens: int | None) -> str:
    return "–" if tokens is None else f"{tokens:,}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Keep a text from being read as Markdown."""
    return "".join(f"\\{each}" if each in "\\|*_`<[" else each for each in text)
