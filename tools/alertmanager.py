"""Where alerts go: by environment first, then by team."""

from typing import Any

PRODUCTION = "production"


def config(teams: dict[str, dict[str, str]], wait: str = "30s", again: str = "4h") -> dict[str, Any]:
    """Alertmanager's configuration.

    Args:
        teams: each team's webhooks: `page`, of whoever is on call, and `chat`.
        wait: for alerts of one service that come together.
        again: until what still fires is told once more.
    """
    receivers = [_receiver(team, kind, url) for team, hooks in teams.items() for kind, url in hooks.items()]
    first = next(iter(teams))
    return {
        "route": {
            "receiver": f"{first}-chat",  # whatever no team claims
            "group_by": ["service", "environment"],
            "group_wait": wait,
            "group_interval": wait,
            "repeat_interval": again,
            "routes": [route for team in teams for route in _routes(team)],
        },
        "inhibit_rules": [
            {  # where nothing is ready, the single instances and checks say nothing new
                "source_matchers": ['alertname="NoInstanceIsReady"'],
                "target_matchers": ['alertname="InstanceIsNotReady"'],
                "equal": ["service", "environment"],
            }
        ],
        "receivers": receivers,
    }


def _routes(team: str) -> list[dict[str, Any]]:
    """Only production wakes anybody up; the rest is read in the morning."""
    mine = f'team="{team}"'
    urgent = [mine, f'environment="{PRODUCTION}"', 'severity="page"']
    return [{"matchers": urgent, "receiver": f"{team}-page"}, {"matchers": [mine], "receiver": f"{team}-chat"}]


def _receiver(team: str, kind: str, url: str) -> dict[str, Any]:
    return {"name": f"{team}-{kind}", "webhook_configs": [{"url": url, "send_resolved": True}]}
