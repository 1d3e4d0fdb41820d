"""The snapshot that the fetcher writes and the processor reads, and the DynamoDB table that stores it."""
