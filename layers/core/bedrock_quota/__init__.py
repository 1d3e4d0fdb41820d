"""The logic of Bedrock Quota Monitor: from invocation-log records to quota metrics. Importing it makes no AWS call."""
