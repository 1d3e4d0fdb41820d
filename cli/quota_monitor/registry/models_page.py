"""Generate the page of models, `docs/models.md`, from the registry."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

from bedrock_quota.registry.models import ANY_PROVIDER, Burndown, Model, ModelKind, Provider, Registry

_INTRO = """\
# Models

{models} models of {providers} providers, from `registry/models/*.toml`. Do not edit this page: `quota-monitor registry
write` generates it from these files. See [Add a model](adding-models.md).

A **burndown rate** is the number of quota tokens that one output token costs. Its status shows how certain it is:

- **listed**: a page of AWS names the rate ({listed} models).
- **ambiguous**: two pages of AWS disagree ({ambiguous} models). The sources below the table have the details.
- **unlisted**: no page of AWS that was read names the model ({unlisted} models). The rate is that of similar models.
  Read literally, AWS's page gives 1× to every model that it does not name. The higher rate is kept, because it never
  hides a full quota. If AWS applies another rate, the fetcher reports it.

If a rate has changed, the table shows its history. A call counts at the rate of its day. **Max output** is the limit
of the model on `max_tokens`. **Default** is the `max_tokens` of requests without one. If the column is empty, the
maximum applies. Models with other output than text have no output tokens that count. **Quota names** are the names of
the model in Service Quotas, after "… for". Without one, no quota of the model is known by name. **End of life** is the
day from which Bedrock refuses calls, if AWS has announced it. It can differ by Region. Then the table has the earliest
day. **Read in** has the numbers of the sources for output limit, rate and end of life, listed below each table.

The processor never sees models that only the endpoint `bedrock-mantle` serves, because Bedrock does not log their
calls. They are named below their provider.
"""

_HEADINGS = (
    "Model", "Id", "Kind", "Max output", "Default", "Burndown rate", "Status", "Quota names", "End of life", "Read in",
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
    """Return the burndown rates of a model, oldest first. Without its own, it has those of its provider."""
    return model.burndown or known.find_provider(model.id).burndown


def _section(known: Registry, provider: Provider) -> Iterator[str]:
    sources: dict[str, int] = {}
    models = [model for model in known.models if known.find_provider(model.id).id == provider.id]
    yield f"## {_cell(provider.name)}"
    yield ""
    yield _assumption(known, provider)
    yield ""
    if provider.mantle_only:
        yield f"Only `bedrock-mantle` serves {', '.join(f'`{each}`' for each in provider.mantle_only)}."
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
        f"A {subject} that is not on this page counts at {rate:g}×. A request without `max_tokens` counts with "
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
    yield str(model.end_of_life.day) if model.end_of_life else "–"
    read_in = [f"{'limit' if model.kind is ModelKind.TEXT else 'id'} {_number(sources, model.source)}"]
    read_in += [f"rate {_number(sources, each)}" for each in dict.fromkeys(rate.source for rate in rates)]
    if model.end_of_life:
        read_in.append(f"end {_number(sources, model.end_of_life.source)}")
    yield ", ".join(read_in)


def _number(sources: dict[str, int], source: str) -> str:
    return str(sources.setdefault(source, len(sources) + 1))


def _amount(tokens: int | None) -> str:
    return "–" if tokens is None else f"{tokens:,}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Escape a text for Markdown."""
    return "".join(f"\\{each}" if each in "\\|*_`<[" else each for each in text)
