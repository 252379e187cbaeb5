"""What `klines run` starts: Prefect's server, the deployments, a worker; and the alarms on that server."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
