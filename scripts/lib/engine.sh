# shellcheck shell=bash
# Docker Engine and buildx as they are: read-only.
#
# Needs version.sh and platform.sh.

# `buildx prune` knows --max-used-space and its relatives since then.
readonly ENGINE_BUILDX_MINIMUM=0.18.0
readonly ENGINE_SOCKET=/var/run/docker.sock
# shellcheck disable=SC2034 # read by setup_plan.sh
readonly ENGINE_CONFIGURATION=/etc/docker/daemon.json

# An engine that hangs must not hang us. macOS has no `timeout`.
engine_limit() {
    if command -v timeout >/dev/null; then
        timeout --kill-after=5 "$@"
    else
        shift
        "$@"
    fi
}

# Whether an engine replies to the docker command as it is configured (context,
# DOCKER_HOST).
engine_answers() {
    engine_limit 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# The process ids of `NAME` (dockerd, containerd) that are alive, one a line.
# Read from /proc: a bare machine has no ps. A killed process that nobody
# waited for is a zombie: it has a process id but does not run.
engine_processes() {
    local name=$1 proc=${2:-/proc} directory command state
    for directory in "$proc"/[0-9]*; do
        # It may end while we look: that is no error.
        { IFS= read -r command <"$directory/comm"; } 2>/dev/null || continue
        [[ $command == "$name" ]] || continue
        state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "$directory/status" 2>/dev/null) || continue
        [[ $state == Z || $state == X || -z $state ]] || printf '%s\n' "${directory##*/}"
    done
}

# Whether docker talks to the engine of this machine in the usual place, rather
# than to another one (Docker Desktop, rootless, remote).
engine_is_system() {
    case "${DOCKER_HOST:-}" in
    '' | "unix://$ENGINE_SOCKET" | unix:///run/docker.sock) ;;
    *) return 1 ;;
    esac
    [[ -n ${DOCKER_HOST:-} || $(docker context show 2>/dev/null) == default ]]
}

# The engine's program; the ordinary user's PATH often lacks /usr/sbin.
engine_program() {
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v dockerd
}

# One word:
#   ready      it replies
#   denied     it is there, but this user may not use it
#   elsewhere  docker is configured for another engine, which does not reply
#   silent     a dockerd runs but does not reply (it may be starting)
#   stopped    installed, does not run
#   absent     not installed
engine_state() {
    if ! command -v docker >/dev/null; then
        # Its service may be there without the command line.
        if [[ -n $(engine_processes dockerd) ]]; then printf 'silent\n'; else printf 'absent\n'; fi
    elif engine_answers; then
        printf 'ready\n'
    elif ! engine_is_system; then
        printf 'elsewhere\n'
    elif [[ -S $ENGINE_SOCKET && ! -w $ENGINE_SOCKET ]] && { platform_has_systemd || [[ -n $(engine_processes dockerd) ]]; }; then
        # Without either, the socket is what a killed engine left.
        printf 'denied\n'
    elif [[ -n $(engine_processes dockerd) ]]; then
        printf 'silent\n'
    elif engine_program >/dev/null; then
        printf 'stopped\n'
    else
        printf 'absent\n'
    fi
}

# The version of the buildx plug-in; fails when there is none.
engine_buildx() {
    local text
    text=$(docker buildx version 2>/dev/null) || return 1
    version_in "$text"
}

# Why buildx will not do, as one line; prints nothing when it does.
engine_buildx_problem() {
    local have
    if ! have=$(engine_buildx); then
        printf 'the buildx plug-in of docker is missing\n'
    elif ! version_at_least "$have" "$ENGINE_BUILDX_MINIMUM"; then
        printf 'buildx %s is too old: %s or newer is needed\n' "$have" "$ENGINE_BUILDX_MINIMUM"
    fi
}

# Whether the running engine keeps images in containerd's store.
engine_has_containerd_store() {
    local status
    status=$(docker info --format '{{json .DriverStatus}}')
    [[ $status == *io.containerd.snapshotter.v1* ]]
}

# Whether the image NAME is in the local store, or a registry has it.
engine_finds_image() {
    local name=$1
    docker image inspect "$name" >/dev/null 2>&1 ||
        engine_limit 30 docker buildx imagetools inspect "$name" >/dev/null 2>&1
}
