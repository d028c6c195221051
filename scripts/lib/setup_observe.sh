# shellcheck shell=bash
# shellcheck disable=SC2034 # what is found here is read by setup_plan.sh
# Setting up a machine, first part: what is missing on it. Changes nothing.
#
# Needs say.sh, platform.sh, packages.sh, tools.sh, engine.sh and lint.sh; reads
# ROOT, the project's directory.

# What can not be mended from here: "WHAT IS WRONG<tab>WHAT TO DO" each.
SETUP_PROBLEMS=()
# What is worth knowing, and needs nothing done.
SETUP_NOTES=()

# What is missing and is going to be mended, a sentence each.
SETUP_MISSING=()
# What was found to be needed, before it becomes a plan.
SETUP_TOOL_PACKAGES=()
SETUP_ENGINE_PACKAGES=()
SETUP_CONFIGURE=no
SETUP_JOIN_GROUP=no
SETUP_START=no

setup_problem() {
    SETUP_PROBLEMS+=("$1"$'\t'"$2")
}

setup_note() {
    SETUP_NOTES+=("$1")
}

setup_has_apt() {
    [[ $1 == debian\ * || $1 == ubuntu\ * ]]
}

# setup_tool PLATFORM TOOL PURPOSE: TOOL is missing.
setup_tool() {
    local platform=$1 tool=$2 purpose=$3 package
    if setup_has_apt "$platform"; then
        SETUP_MISSING+=("$tool: $purpose")
        while read -r package; do
            SETUP_TOOL_PACKAGES+=("$package")
        done < <(tools_packages "$tool")
    elif [[ $platform == macos\ * && ($tool == cc || $tool == git) ]]; then
        setup_problem "$tool is missing ($purpose)" 'install the command line tools: xcode-select --install'
    elif [[ $platform == macos\ * ]]; then
        setup_problem "$tool is missing ($purpose)" "install it, for instance: brew install $tool"
    else
        setup_problem "$tool is missing ($purpose)" "install $tool with this system's package manager"
    fi
}

setup_observe_tools() {
    local platform=$1 problem tool purpose
    problem=$(tools_rust_problem "$ROOT")
    if [[ -n $problem ]]; then
        setup_problem "$problem" 'install Rust with rustup, then: rustup toolchain install stable (to update: rustup update stable)'
    fi
    while IFS=$'\t' read -r tool purpose; do
        setup_tool "$platform" "$tool" "$purpose"
    done < <(tools_missing)
}

# setup_observe_step_tools PLATFORM STEP...: what only these steps of
# scripts/test need. A Rust toolchain of the minimal profile lacks rustfmt and
# clippy.
setup_observe_step_tools() {
    local platform=$1 step
    shift
    for step in "$@"; do
        case "$step" in
        fmt) setup_observe_component fmt rustfmt ;;
        clippy) setup_observe_component clippy clippy ;;
        scripts | workflows)
            if ! lint_has_wheel && ! command -v shellcheck >/dev/null; then
                setup_tool "$platform" shellcheck 'checks the scripts'
            fi
            ;;
        esac
    done
}

# setup_observe_component COMMAND COMPONENT: without cargo that is reported
# already.
setup_observe_component() {
    command -v cargo >/dev/null || return 0
    if ! (cd "$ROOT" && cargo "$1" --version) >/dev/null 2>&1; then
        setup_problem "cargo $1 does not run: $2 is missing" "rustup component add $2, or install your distribution's package of it"
    fi
}

# Whether this user is a member of the engine's group, if not in this session.
setup_is_in_group() {
    [[ " $(id -nG "$(id -un)") " == *' docker '* ]]
}

setup_observe_engine() {
    local platform=$1 state
    state=$(engine_state)
    case "$state" in
    ready)
        setup_observe_buildx "$platform"
        setup_observe_store
        ;;
    denied)
        if ! setup_is_in_group; then
            SETUP_JOIN_GROUP=yes
            SETUP_MISSING+=("Docker Engine is here, but you are not in the group docker, which may use it")
        fi
        ;;
    elsewhere)
        setup_problem "docker is set to the engine at ${DOCKER_HOST:-context $(docker context show)}, which does not reply" \
            'start that engine, or choose the one of this machine: unset DOCKER_HOST; docker context use default'
        ;;
    silent)
        SETUP_START=yes
        SETUP_MISSING+=('a dockerd runs, but does not reply yet')
        ;;
    *) setup_observe_no_engine "$platform" "$state" ;;
    esac
    if setup_has_apt "$platform" && ! tools_have_debootstrap; then
        # Where no engine is yet, nobody can tell what registries it will reach.
        if [[ $state != ready ]] || ! engine_finds_image "$(setup_base_image)"; then
            setup_tool "$platform" debootstrap 'makes a base image where no registry can be reached'
        fi
    fi
}

# The engine does not run: STATE is stopped or absent.
setup_observe_no_engine() {
    local platform=$1 state=$2 id codename package
    read -r id codename <<<"$platform"
    if [[ $id == macos ]]; then
        setup_problem 'no Docker Engine replies' \
            'start Docker Desktop or colima; if there is none: brew install --cask docker, or: brew install colima docker docker-buildx'
    elif [[ $state == stopped ]]; then
        SETUP_MISSING+=('Docker Engine is installed, but does not run')
        SETUP_CONFIGURE=yes SETUP_START=yes
        if ((EUID != 0)) && ! setup_is_in_group; then SETUP_JOIN_GROUP=yes; fi
        setup_observe_buildx "$platform"
    elif packages_engine "$id" "$codename" >/dev/null; then
        SETUP_MISSING+=("Docker Engine with buildx $ENGINE_BUILDX_MINIMUM or newer: builds and runs the image")
        while read -r package; do
            SETUP_ENGINE_PACKAGES+=("$package")
        done < <(packages_engine "$id" "$codename")
        SETUP_CONFIGURE=yes SETUP_START=yes
        if ((EUID != 0)) && ! setup_is_in_group; then SETUP_JOIN_GROUP=yes; fi
    else
        setup_problem "Docker Engine is missing, and it is not known here how to install it on $platform" \
            "install Docker Engine, and buildx $ENGINE_BUILDX_MINIMUM or newer"
    fi
}

setup_observe_buildx() {
    local platform=$1 problem flavour=distribution id codename package
    problem=$(engine_buildx_problem)
    [[ -n $problem ]] || return 0
    read -r id codename <<<"$platform"
    if setup_has_apt "$platform"; then
        flavour=$(packages_flavour)
        if package=$(packages_buildx "$flavour" "$id" "$codename"); then
            SETUP_ENGINE_PACKAGES+=("$package")
            SETUP_MISSING+=("$problem")
            return
        fi
    fi
    setup_problem "$problem" 'install the buildx plug-in that belongs to your Docker, or update Docker Desktop'
}

setup_observe_store() {
    if ! engine_has_containerd_store; then
        setup_note "the running engine keeps images in the classic store: it builds, but the docker driver can not export a registry cache from there, so other machines start without one. To switch, set features.containerd-snapshotter to true in $ENGINE_CONFIGURATION (Docker Desktop: Settings, General) and restart the engine; its present images are not listed after that"
    fi
}

# The base image as the Dockerfile names it.
setup_base_image() {
    sed -n 's/^ARG BASE_IMAGE=//p' "$ROOT/Dockerfile"
}
