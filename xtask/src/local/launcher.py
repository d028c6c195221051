"""Starts MiniStack, mended where its ECS differs from Amazon's for what stacks here use.

`cargo xtask local up` runs this with the Python of MiniStack's own virtual environment.
CloudFormation writes container definitions in PascalCase, ECS reads them in camelCase. MiniStack
translates their first level and a few others; secrets, health checks and Linux parameters stay as
they were and are ignored, so a container would start without its keys. And it does not hand the
read-only root file system, the init process and dropped capabilities on to Docker, so a container
that could not run on Fargate would run here.

What is replaced are internals of the pinned version: where they are not as expected, this fails.
"""

from ministack.services import ecs
from ministack.services.cloudformation import provisioners

#: Maps whose keys are data and not names of fields.
VERBATIM = {"options", "dockerLabels", "driverOpts", "labels"}


def camel(value):
    """A CloudFormation value with the names of fields as ECS has them, on every level."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if isinstance(value, dict):
        renamed = {}
        for key, item in value.items():
            name = key[:1].lower() + key[1:]
            renamed[name] = item if name in VERBATIM else camel(item)
        return renamed
    return value


def with_isolation(build):
    """The arguments of a container's start, with what isolates it."""

    def run_kwargs(definition, *args, **kwargs):
        arguments = build(definition, *args, **kwargs)
        linux = definition.get("linuxParameters") or {}
        arguments["read_only"] = bool(definition.get("readonlyRootFilesystem"))
        arguments["init"] = bool(linux.get("initProcessEnabled"))
        arguments["cap_drop"] = (linux.get("capabilities") or {}).get("drop") or []
        return arguments

    return run_kwargs


for owner, name in ((provisioners, "_normalize_container_defs"), (ecs, "_build_run_kwargs")):
    if not callable(getattr(owner, name, None)):
        raise SystemExit(f"{owner.__name__}.{name} is not there: another version of MiniStack?")

provisioners._normalize_container_defs = camel
ecs._build_run_kwargs = with_isolation(ecs._build_run_kwargs)

if __name__ == "__main__":
    from ministack.app import main

    main()
