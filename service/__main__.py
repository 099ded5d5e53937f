"""The command line: `carina COMMAND`. The only entry point of the distribution."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.errors import CarinaError

NOTICE = "Research use only. Not a medical device."


def parser() -> argparse.ArgumentParser:
    """Every command and option; docs/commands.md names them all, a test insists."""
    top = argparse.ArgumentParser(
        prog="carina", description=f"Chest X-ray severity, change and risk. {NOTICE}"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _science(commands)
    _training(commands)
    _service(commands)
    return top


def _science(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    score = commands.add_parser("score", help="score a cohort of films into a table")
    score.add_argument("inputs", nargs="+", metavar="INPUT", help="films, folders, CSV or .tar")
    score.add_argument("-o", "--output", required=True, type=Path, metavar="FILE")
    score.add_argument("--engine", choices=("local", "ray"), default="local")
    score.add_argument("--resume", action="store_true", help="go on after a crash")
    score.add_argument("--workers", type=int, default=None, help="processes; default: cores")
    align = commands.add_parser("align", help="align a prior film to the current one")
    align.add_argument("prior", type=Path, metavar="PRIOR")
    align.add_argument("current", type=Path, metavar="CURRENT")
    align.add_argument("-o", "--output", required=True, type=Path, metavar="DIR")
    risk = commands.add_parser("risk", help="predict risks for a table, or name its columns")
    kinds = risk.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name in ("ventilation", "outpatient"):
        kind = kinds.add_parser(name)
        kind.add_argument("table", type=Path, metavar="TABLE", help="CSV or Parquet")
        kind.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.csv")
        kind.add_argument("--model", type=Path, metavar="FILE", help="a model of your own")
    columns = kinds.add_parser("columns")
    columns.add_argument("name", nargs="?", choices=("ventilation", "outpatient"))


def _training(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from service.commands.train import MODULES

    train = commands.add_parser("train", help="train a model on local data")
    train.add_argument("name", choices=tuple(MODULES))
    train.add_argument("--data", required=True, type=Path, metavar="DIR", help="or a table")
    folder: dict[str, Any] = {"dest": "output", "type": Path, "metavar": "DIR"}
    train.add_argument("-o", "--out", "--output", required=True, **folder)
    train.add_argument("--fresh", action="store_true", help="do not go on from a checkpoint")
    train.add_argument("--quick", action="store_true", help="a tiny run, to try the set-up")
    evaluate = commands.add_parser("evaluate", help="measure a model; writes its card and plots")
    evaluate.add_argument("name", choices=tuple(MODULES))
    evaluate.add_argument("--data", required=True, type=Path, metavar="DIR", help="or a table")
    evaluate.add_argument("-o", "--out", "--output", **folder)
    evaluate.add_argument("--run", type=Path, metavar="DIR", default=None, help="a training's DIR")
    evaluate.add_argument("--model", type=Path, metavar="FILE", help="a risk model of your own")
    recalibrate = commands.add_parser("recalibrate", help="fit a risk model's level to outcomes")
    recalibrate.add_argument("name", choices=("ventilation", "outpatient"))
    recalibrate.add_argument("--data", required=True, type=Path, metavar="TABLE")
    recalibrate.add_argument("-o", "--out", "--output", required=True, **folder)
    recalibrate.add_argument("--model", type=Path, metavar="FILE", help="default: the shipped one")


def _service(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, what in (
        ("serve", "pages, API, DICOM port and worker in one process tree"),
        ("listen", "the DICOM port alone"),
        ("worker", "work on studies alone"),
        ("demo", "serve a sample ward pushed through the real DICOM port"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("--data-dir", type=Path, default=None, metavar="DIR")
        command.add_argument("--http-port", type=int, default=None)
        command.add_argument("--dicom-port", type=int, default=None)
    importer = commands.add_parser("import", help="take in DICOM files from disk")
    importer.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    importer.add_argument("--data-dir", type=Path, default=None, metavar="DIR")
    user = commands.add_parser("user", help="who may log in")
    acts = user.add_subparsers(dest="act", required=True, metavar="ACT")
    add = acts.add_parser("add", help="password from CARINA_PASSWORD or asked for")
    add.add_argument("username")
    add.add_argument("--role", required=True)
    acts.add_parser("list")
    for deed, what in (
        ("disable", "may not log in any more; sessions end now"),
        ("enable", "may log in again"),
        ("role", "give another role"),
        ("password", "give a new password, from CARINA_PASSWORD or asked for"),
    ):
        acts.add_parser(deed, help=what).add_argument("username")
    acts.choices["role"].add_argument("role")
    for act in acts.choices.values():
        act.add_argument("--data-dir", type=Path, default=None, metavar="DIR")
    _keeping(commands)
    for name, what in (
        ("backup", "copy index and objects into a folder; Carina may go on running"),
        ("restore", "bring a backup into an empty data directory and database"),
        ("verify", "compare every object with the digest it was received with"),
    ):
        keeping = commands.add_parser(name, help=what)
        if name != "verify":
            keeping.add_argument("folder", type=Path, metavar="FOLDER")
        keeping.add_argument("--data-dir", type=Path, default=None, metavar="DIR")
    whole = "bring back what is whole, although objects are damaged or missing"
    commands.choices["restore"].add_argument("--incomplete", action="store_true", help=whole)
    _exporting(commands)
    migrate = commands.add_parser("migrate", help="bring the index to the current schema")
    migrate.add_argument("--to", metavar="REVISION", help="back to an earlier schema")
    migrate.add_argument("--data-dir", type=Path, default=None, metavar="DIR")


def _exporting(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = commands.add_parser("export", help="write films, or what readers said, to train on")
    whats = export.add_subparsers(dest="what", required=True, metavar="WHAT")
    labels = whats.add_parser("labels", help="what readers said")
    labels.add_argument("--pseudonyms", action="store_true", help="readers as numbers")
    labels.add_argument("--comments", action="store_true", help="readers' free text as well")
    labels.add_argument("--all", action="store_true", help="superseded reviews as well")
    films = whats.add_parser("films", help="de-identified films")
    films.add_argument("--reviewed", action="store_true", help="those with a review alone")
    for what in (labels, films):
        what.add_argument("-o", "--output", required=True, type=Path, metavar="DIR")
        what.add_argument("--data-dir", type=Path, default=None, metavar="DIR")


def _keeping(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    patient = commands.add_parser("patient", help="two identifiers of one patient")
    merge = patient.add_subparsers(dest="act", required=True, metavar="ACT").add_parser("merge")
    merge.add_argument("old", metavar="OLD", help="the identifier that ends")
    merge.add_argument("new", metavar="NEW", help="the identifier of the patient that is left")
    study = commands.add_parser("study", help="what is kept of a study")
    delete = study.add_subparsers(dest="act", required=True, metavar="ACT").add_parser("delete")
    delete.add_argument("study_uid", metavar="STUDY_UID")
    for act in (merge, delete):
        act.add_argument("--reason", required=True, help="why; written into the audit")
        act.add_argument("--data-dir", type=Path, default=None, metavar="DIR")
    retention = commands.add_parser("retention", help="delete what is older than the settings keep")
    retention.add_argument("--dry-run", action="store_true", help="only tell what would go")
    retention.add_argument("--data-dir", type=Path, default=None, metavar="DIR")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 nothing could be done, 2 wrong usage."""
    options = parser().parse_args(arguments)
    try:
        return _dispatch(options)
    except CarinaError as error:
        print(f"carina: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("carina: stopped", file=sys.stderr)
        return 130


def _dispatch(options: argparse.Namespace) -> int:
    """Import a command only when it is asked for: `carina risk` must not load DICOM."""
    if options.command in ("score", "align", "risk"):
        return _run_science(options)
    if options.command in ("train", "evaluate", "recalibrate"):
        return _run_training(options)
    if options.command in ("patient", "study", "retention"):
        return _run_keeping(options)
    if options.command in ("backup", "restore", "verify"):
        return _run_copying(options)
    if options.command == "export":
        return _run_export(options)
    return _run_service(options)


def _run_export(options: argparse.Namespace) -> int:
    from service.commands import serve

    settings = serve.settings_from(options)
    if options.what == "films":
        from service.commands import export_films

        return export_films.films_to(settings, options.output, reviewed=options.reviewed)
    from service.commands import export_labels

    return export_labels.labels_to(
        settings,
        options.output,
        pseudonyms=options.pseudonyms,
        comments=options.comments,
        superseded=options.all,
    )


def _run_science(options: argparse.Namespace) -> int:
    if options.command == "score":
        from service.commands import score

        return score.run(
            options.inputs,
            options.output,
            engine=options.engine,
            resume=options.resume,
            workers=options.workers,
        )
    if options.command == "align":
        from service.commands import align

        return align.run(options.prior, options.current, options.output)
    from service.commands import risk

    if options.kind == "columns":
        return risk.show_columns(options.name)
    return risk.predict(options.kind, options.table, options.output, options.model)


def _run_training(options: argparse.Namespace) -> int:
    if options.command == "recalibrate":
        from service.commands import recalibrate

        return recalibrate.run(options.name, options.data, options.output, options.model)
    from service.commands import train

    if options.command == "train":
        return train.train(
            options.name,
            options.data,
            options.output,
            resume=not options.fresh,
            quick=options.quick,
        )
    out = options.output or Path("evaluation") / options.name
    return train.evaluate(options.name, options.data, out, options.run, options.model)


def _run_service(options: argparse.Namespace) -> int:
    from service.commands import serve

    settings = serve.settings_from(options)
    if options.command == "import":
        return serve.take_in(settings, options.paths)
    if options.command == "user":
        from service.commands import user

        return user.run(settings, options)
    if options.command == "migrate":
        return serve.migrate(settings, options.to)
    if options.command == "demo":
        from service.commands import demo

        return demo.run(settings)
    return serve.run(settings, options.command)


def _run_copying(options: argparse.Namespace) -> int:
    from service.commands import backup, serve

    settings = serve.settings_from(options)
    if options.command == "backup":
        return backup.save(settings, options.folder)
    if options.command == "restore":
        return backup.restore(settings, options.folder, incomplete=options.incomplete)
    return backup.verify(settings)


def _run_keeping(options: argparse.Namespace) -> int:
    from service.commands import serve

    settings = serve.settings_from(options)
    if options.command == "patient":
        from service.commands import patient

        return patient.merge(settings, options.old, options.new, options.reason)
    if options.command == "study":
        from service.commands import study

        return study.delete(settings, options.study_uid, options.reason)
    from service.commands import retention

    return retention.run(settings, dry_run=options.dry_run)


if __name__ == "__main__":
    sys.exit(main())
