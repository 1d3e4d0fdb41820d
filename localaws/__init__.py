"""AWS on one machine, for development, the demo and the end-to-end tests.

MiniStack emulates AWS. A second process, the sidecar, turns lines in the embedded metric format into metrics, and
answers Service Quotas requests for Bedrock. `localaws.instance` starts both, deploys this checkout's template on them
with the SAM CLI, and stops them. Nothing in this package runs in an AWS account.
"""
