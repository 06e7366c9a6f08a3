"""`merpati serve`: run roles, all in this process, or some of them beside other processes of the same command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, load_settings, run
from merpati.components import Components
from merpati.objects.probe import probe
from merpati.service import Service
from merpati.service import run as run_services
from merpati.settings import Settings
from merpati.telemetry import configure_logging, logger

ROLES = ("ingest", "processors", "delivery", "access")


def command(
    roles: Annotated[str, typer.Option(metavar="R,R", help="Of ingest, processors, delivery, access.")] = ",".join(
        ROLES
    ),
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log more.")] = False,
    config: ConfigOption = None,
) -> None:
    """Run the mail server: all roles in this process, or some of them beside other processes."""
    configure_logging(json=log_json, debug=debug)
    run(_serve(load_settings(config), _roles(roles)))


def _roles(text: str) -> frozenset[str]:
    wanted = frozenset(role.strip() for role in text.split(",") if role.strip())
    if not wanted or not wanted <= set(ROLES):
        raise typer.BadParameter(f"roles are {', '.join(ROLES)}", param_hint="--roles")
    return wanted


async def _serve(settings: Settings, roles: frozenset[str]) -> None:
    from merpati.cli.roles import services_of  # all four services: what other commands need not load
    from merpati.endpoint import Endpoint

    log = logger("serve")
    async with Components(settings) as parts:
        await probe(parts.store, parts.dice)
        services = services_of(roles, parts)
        endpoint = Endpoint(settings.http.listen, parts.metrics, services)
        everything: list[Service] = [endpoint, *services]

        def started() -> None:
            ports: dict[str, int] = {"http": endpoint.port}
            for service in services:
                ports |= getattr(service, "ports", {})
            log.info("started", roles=",".join(sorted(roles)), pid=os.getpid(), **ports)

        await run_services(everything, started)
