"""Commands for the two tables of a model folder: `validate-mapping`, `create-stub`."""

from __future__ import annotations

from pathlib import Path

import click

from drumwatchd.cli import EXIT_FOUND, printable
from drumwatchd.cli.context import Context

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("validate-mapping")
@click.argument(
    "model_folder",
    required=False,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def validate_mapping(context: Context, model_folder: Path | None, as_json: bool) -> None:
    """Check label_mapping.json and canonical_mapping.json in MODEL_FOLDER.

    Without MODEL_FOLDER, those of the model that is configured. Folders are compared with the
    configured target_labels. Exits with 1 if there are faults; warnings may be meant so.
    """
    from drumwatchd.analysis.mappings import check_tables
    from drumwatchd.analysis.model_card import configured_model
    from drumwatchd.cli.output import JSON_SCHEMA, json_text

    classify = context.classify_settings()
    folder = model_folder or configured_model(classify.model)
    remarks = check_tables(folder, (*classify.target_labels, *_own_labels(folder)))
    is_sound = all(remark.level != "fault" for remark in remarks)
    if as_json:
        click.echo(
            json_text(
                {
                    "schema": JSON_SCHEMA,
                    "sound": is_sound,
                    "folder": str(folder),
                    "remarks": [remark._asdict() for remark in remarks],
                }
            )
        )
    else:
        for level, file, text in remarks:
            click.echo(printable(f"{level}: {file}: {text}"))
        if is_sound:
            click.echo(printable(f"both tables can be used: {folder}"))
    if not is_sound:
        raise SystemExit(EXIT_FOUND)


def _own_labels(folder: Path) -> tuple[str, ...]:
    """Of an adapted model; each has a folder without being configured."""
    from drumwatchd.analysis.model_card import read_card
    from drumwatchd.errors import ModelError

    try:
        return read_card(folder).own_labels
    except ModelError:
        return ()  # what is wrong is said below


@click.command("create-stub")
@click.argument("folder", type=_FOLDER, default=Path())
@click.option("--force", is_flag=True, help="Replace tables that are there.")
def create_stub(folder: Path, force: bool) -> None:
    """Write fresh label_mapping.json and canonical_mapping.json into FOLDER, to be edited.

    With a model.json in FOLDER they name its labels, else the 34. FOLDER is the current one by
    default.
    """
    from drumwatchd.analysis.mappings import write_stubs

    for path in write_stubs(folder, force=force):
        click.echo(printable(str(path)))
