"""LoggingSetupFunction and BucketEmptyingFunction: the custom resources of a deployment."""
