"""AWS on one machine, for development, the demo and the end-to-end tests.

MiniStack emulates AWS; a second process, the sidecar, adds what it lacks: lines in the embedded metric format become
CloudWatch metrics, and Service Quotas answers for Bedrock. `localaws.instance` starts both, deploys this checkout's
own template on them with the SAM CLI, and takes them down again. Nothing here is part of what an account runs.
"""
