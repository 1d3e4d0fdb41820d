"""The logic of Bedrock Quota Monitor: invocation-log records in, quota metrics out. No AWS call at import."""
