"""`models`, `promote` and `rollback`: the adapted models, and which one judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli import printable
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, iso_utc, local_time, print_json, visible
from drumwatchd.errors import UsageError

if TYPE_CHECKING:
    from drumwatchd.analysis.model_card import ModelCard
    from drumwatchd.analysis.model_store import StoredModel

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command()
@_JSON
@click.pass_obj
def models(context: Context, as_json: bool) -> None:
    """List the model that is configured, and those that learned from your corrections.

    Each with its state: active, candidate (it proved itself, and never judged), rejected or
    retired; and with what was measured.
    """
    from drumwatchd.analysis import model_store

    base, store = _base(context), context.store()
    choice = model_store.choose(store, str(base.folder))
    stored = model_store.stored_models(store)
    if as_json:
        print_json(
            {
                "schema": JSON_SCHEMA,
                "judges": choice.card.id,
                "problem": choice.problem,
                "configured": {"id": base.id, "folder": str(base.folder)},
                "models": [_as_json(model) for model in stored],
            }
        )
        return
    click.echo(f"{visible(choice.card.id)} judges")
    if choice.problem is not None:
        click.echo(printable(f"warning: {choice.problem}"))
    click.echo(f"\n{visible(base.id)}  configured\n  {visible(str(base.folder))}")
    for model in stored:
        click.echo("\n" + "\n".join(_lines(model)))


@click.command()
@click.argument("model_id", metavar="ID")
@click.option("--force", is_flag=True, help="Even if it was rejected.")
@click.pass_obj
def promote(context: Context, model_id: str, force: bool) -> None:
    """Let the model ID judge from the next file on.

    A running daemon takes it without a restart. ID may be that of the configured model.
    """
    from drumwatchd.analysis import model_store

    base, store = _base(context), context.store()
    stored = {model.id: model for model in model_store.stored_models(store)}
    with model_store.alone(store):
        if model_id == base.id:
            model_store.promote(store, None)
        elif model_id not in stored:
            raise UsageError(f"no model {model_id}", hint="`drumwatchd models` lists them")
        else:
            model = stored[model_id]
            if model.state == "rejected" and not force:
                hint = "promote it all the same with --force"
                raise UsageError(f"{model_id} was rejected: {model.standing.reason}", hint=hint)
            model_store.usable(model.folder, base)
            model_store.promote(store, model_id)
    click.echo(f"{visible(model_id)} judges from now on")


@click.command()
@click.pass_obj
def rollback(context: Context) -> None:
    """Let the model judge again that did before.

    May be repeated, back to the configured one.
    """
    from drumwatchd.analysis import model_store

    base, store = _base(context), context.store()
    with model_store.alone(store):
        pointer = model_store.roll_back(store)
    choice = model_store.choose(store, str(base.folder))
    click.echo(f"{visible(choice.card.id)} judges from now on")
    if choice.card.id != (pointer.active or base.id):
        click.echo(printable(f"warning: {choice.problem}"), err=True)


def _base(context: Context) -> ModelCard:
    from drumwatchd.analysis.model_card import configured_model, read_card

    return read_card(configured_model(context.load().classify.model))


def _as_json(model: StoredModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "state": model.state,
        "made": iso_utc(model.standing.made),
        "passed": model.standing.passed,
        "reason": model.standing.reason,
        "figures": dict(model.standing.figures),
        "folder": str(model.folder),
    }


def _lines(model: StoredModel) -> list[str]:
    standing = model.standing
    figures = standing.figures
    lines = [
        f"{visible(model.id)}  {model.state}, made {local_time(standing.made)}",
        f"  {visible(standing.reason)}",
    ]
    if "kit_accuracy" in figures:
        after, before = figures["kit_accuracy"], figures["kit_accuracy_before"]
        lines.append(
            f"  corpus, averaged over kits  {100 * after:.1f} % (before {100 * before:.1f} %)"
        )
        count, right, was = (figures[key] for key in ("n_corrections", "right", "right_before"))
        lines.append(f"  corrections not seen        {right} of {count} right (before {was})")
    return lines
