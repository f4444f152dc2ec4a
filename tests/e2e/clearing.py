"""Leave a Prefect server as it was found: other tests share it."""

from prefect.client.orchestration import SyncPrefectClient


def remove_deployed(client: SyncPrefectClient) -> None:
    """Remove whatever was deployed, and all automations."""
    for automation in client.read_automations():
        client.delete_automation(automation.id)
    for deployment in client.read_deployments():
        client.delete_deployment(deployment.id)
