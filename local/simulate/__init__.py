"""scripts/simulate: what a site of any size needs of the services, and what that costs."""
