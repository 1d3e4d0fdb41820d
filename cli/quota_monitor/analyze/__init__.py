"""`quota-monitor analyze`: answers from invocation logs that exist. It deploys nothing and changes nothing."""
