"""The snapshot that the fetcher writes and the processor reads, and the DynamoDB table that stores it.

If the table is down, metrics keep flowing, but deployments fail:

- `state.snapshot.SnapshotCache` keeps the last snapshot, and reads again after `RETRY_SECONDS`.
- `processor.pipeline` writes lines without percentages until there is one. It counts calls in `QuotasUnknown` then, and
  while quotas are over `OLDEST_QUOTAS` old.
- `processor.duplicates` processes deliveries without the check, and counts them in `duplicates_unchecked`. A delivery
  that cannot be recorded counts twice if it comes again.
- `processor.application_profiles` asks Bedrock about the profiles.
- `processor.unlisted_pools` admits no further pool. Calls of unlisted models count in the pool `unlisted`.
- `fetcher.refresh` publishes the quotas that it fetches. It stores no snapshot, sends no notice,
  and the fetch fails at the end.
- `functions/logging_setup` needs the table. Creating, updating or deleting the stack may fail.
"""
