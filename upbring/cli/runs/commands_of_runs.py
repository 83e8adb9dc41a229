"""The commands about runs."""

from upbring.cli.command import Command

RUNS_COMMANDS = (
    Command(
        name="runs",
        group="Tools",
        help="List the runs in a folder.",
        settings="upbring.settings.commands.runs:RunsSettings",
        run="upbring.cli.runs.list_runs:run",
        example="upbring runs",
        positional="runs",
        metavar="FOLDER",
    ),
    Command(
        name="runs-diff",
        group="Tools",
        help="Compare two runs: settings, data, numbers, contract, environment.",
        settings="upbring.settings.commands.runs:RunsDiffSettings",
        run="upbring.cli.runs.diff_runs:run",
        example="upbring runs-diff runs/sft-1 runs/sft-2",
        description="Also `upbring runs diff`. Prints only what differs.",
        positional="runs",
        metavar="RUN",
    ),
    Command(
        name="runs-tree",
        group="Tools",
        help="Show which run was trained from which.",
        settings="upbring.settings.commands.runs:RunsTreeSettings",
        run="upbring.cli.runs.tree_of_runs:run",
        example="upbring runs-tree",
        description="Also `upbring runs tree`.",
        positional="runs",
        metavar="FOLDER",
    ),
    Command(
        name="runs-prune",
        group="Tools",
        help="Delete checkpoints that nothing needs; without --delete they are only listed.",
        settings="upbring.settings.commands.runs:RunsPruneSettings",
        run="upbring.cli.runs.prune_runs:run",
        example="upbring runs-prune runs --delete",
        description="Also `upbring runs prune`. A model, what a resumed run reads, and a running "
        "run are never touched.",
        positional="runs",
        metavar="FOLDER",
    ),
)
