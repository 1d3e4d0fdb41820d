"""The logic of Bedrock Quota Monitor: from invocation-log records to quota metrics. Importing it makes no AWS call.

- `processor`: MetricProcessorFunction. From deliveries of invocation logs to metric lines.
- `fetcher`: QuotaFetcherFunction. From Service Quotas to quota lines, notices and the snapshot.
- `deployment`: LoggingSetupFunction and BucketEmptyingFunction. Custom resources of the stack.
- `registry`: the models, their burndown rates and the names of their quotas.
- `state`: the snapshot and the table that stores it.

`processor`, `fetcher` and `deployment` never import one another, and there are no import cycles. Two tests check these
rules: `tests/unit/test_core_structure.py` and `tests/integration/test_handler_imports.py`.
"""
