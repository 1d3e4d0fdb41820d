"""`quota-monitor registry`: check the registry of models, write what is generated from it, compare it with AWS."""
