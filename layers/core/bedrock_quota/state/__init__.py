"""The snapshot that the fetcher writes and the processor reads, and the DynamoDB table that stores it.

If the table cannot be read, no reader stops:

- `state.snapshot.SnapshotCache` keeps the last snapshot, and reads again after `RETRY_SECONDS`.
- `processor.pipeline` writes lines without percentages until there is one, and counts calls in `QuotasUnknown`.
- `processor.duplicates` processes deliveries without the check, and counts them in `duplicates_unchecked`.
- `processor.application_profiles` asks Bedrock about the profiles.
- `fetcher.refresh` publishes the quotas that it fetches. It stores no snapshot, and the fetch fails at the end.
"""
