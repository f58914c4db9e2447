"""What every service needs to be a service. No business word in here, and no knowledge of any service."""
