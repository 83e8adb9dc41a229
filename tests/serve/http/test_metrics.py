from upbring.serve.engine.engine import EngineStats
from upbring.serve.http.metrics import Histogram, ServerMetrics, format_metrics


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram()
    for value in (0.001, 0.01, 0.3, 1000.0):
        histogram.add(value)
    lines = dict(line.rsplit(" ", 1) for line in histogram.lines("x"))
    assert lines['x_bucket{le="0.01"}'] == "2"
    assert lines['x_bucket{le="0.25"}'] == "2"
    assert lines['x_bucket{le="0.5"}'] == "3"
    assert lines['x_bucket{le="+Inf"}'] == lines["x_count"] == "4"
    assert float(lines["x_sum"]) == 1000.311


def test_every_metric_has_a_type_and_a_value() -> None:
    metrics = ServerMetrics()
    metrics.count(200)
    metrics.count(200)
    lines = format_metrics(metrics, EngineStats(generated_tokens=7)).splitlines()
    assert 'upbring_http_responses_total{status="200"} 2' in lines
    assert "upbring_generated_tokens_total 7" in lines
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    values = [line for line in lines if not line.startswith("#")]
    assert all(any(line.startswith(name) for name in names) for line in values)
