"""Options of the bulk verbs that say where the work is done: on this machine, or on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from secondlook.bulk.ray_data import Cluster

Engine = Annotated[
    str,
    typer.Option("--engine", help="local, or ray: on a cluster all of whose machines see the files under these paths."),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", help="auto, HOST:PORT or ray://HOST:PORT [a cluster of this machine alone]."),
]
RayWorkers = Annotated[
    int | None, typer.Option("--ray-workers", help="Workers of the cluster, at most [as many as there is room for].")
]


def cluster_of(engine: str, address: str | None, workers: int | None) -> Cluster | None:
    """The cluster that is wished for; None for the local engine.

    Raises:
        UnknownName: if there is no such engine.
        BadValue: if the address is none, or the local engine is given one.
    """
    if engine not in ("local", "ray"):
        raise UnknownName("engine", engine, ("local", "ray"))
    if engine == "ray":
        from secondlook.bulk.ray_data import Cluster

        return Cluster(address, workers)
    for name, value in (("--ray-address", address), ("--ray-workers", workers)):
        if value is not None:
            raise BadValue(value, f"{name} is for --engine ray", "Add --engine ray.")
    return None
