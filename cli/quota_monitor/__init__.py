"""The command line of Bedrock Quota Monitor."""
