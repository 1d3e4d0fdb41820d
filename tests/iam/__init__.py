"""Judge requests to AWS by the stack's policies, with an IAM evaluator and IAM data that others maintain."""
