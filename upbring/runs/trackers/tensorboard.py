"""TensorBoard: event files in the folder `tensorboard` of the run; `tensorboard --logdir runs`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from upbring.durable import JSON
from upbring.runs.callback import Callback, MetricsKind, RunEnd, RunStart
from upbring.runs.trackers.metric_names import grouped_metrics
from upbring.runs.trackers.sample_table import NAME, sample_markdown


class TensorBoard(Callback):
    """Writes event files; what was written after the resumed step is purged."""

    def on_start(self, run: RunStart) -> None:
        """Open a new event file."""
        self.run = run
        self.writer: Any = EventFileWriter(str(run.path / "tensorboard"))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self.writer.add_event(event_pb2.Event(session_log=start, step=run.step + 1))
        if run.step == 0:
            text = json.dumps(run.settings, indent=1)
            self._add_text("settings", f"```json\n{text}\n```", step=0)

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: MetricsKind) -> None:
        """Write one event with all metrics."""
        values = [
            summary_pb2.Summary.Value(tag=name, simple_value=value)
            for name, value in grouped_metrics(self.run.method, metrics, kind).items()
        ]
        self.writer.add_event(event_pb2.Event(summary=summary_pb2.Summary(value=values), step=step))

    def on_samples(self, step: int, samples: Sequence[Mapping[str, JSON]]) -> None:
        """Write the samples as a text."""
        self._add_text(NAME, sample_markdown(samples), step=step)

    def on_end(self, status: RunEnd) -> None:
        """Close the file."""
        del status
        self.writer.close()

    def _add_text(self, name: str, text: str, *, step: int) -> None:
        plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
        metadata = summary_pb2.SummaryMetadata(plugin_data=plugin)
        value = summary_pb2.Summary.Value(tag=name, metadata=metadata)
        value.tensor.dtype = 7  # a string
        value.tensor.tensor_shape.dim.add().size = 1
        value.tensor.string_val.append(text.encode())
        summary = summary_pb2.Summary(value=[value])
        self.writer.add_event(event_pb2.Event(summary=summary, step=step))
