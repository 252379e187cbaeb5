"""What `make run` starts: Prefect's server, the deployments, a worker; and the alarms on that server."""
