"""QuotaFetcherFunction: from Service Quotas to the snapshot and quota metrics."""
