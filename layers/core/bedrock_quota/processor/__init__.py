"""MetricProcessorFunction: from a delivery of invocation logs to metric lines."""
