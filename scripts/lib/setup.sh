# shellcheck shell=bash
# Brings a machine to where the project builds, tests and deploys: finds what is
# missing, plans what mends it, carries the plan out, and looks again.
#
# Needs all the other files here; reads ROOT, the project's directory.

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
        scripts)
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

# Turns what was found into the plan, in the order in which it has to be done.
setup_plan() {
    local platform=$1 start=$2 sources=no package
    for package in ${SETUP_ENGINE_PACKAGES[@]+"${SETUP_ENGINE_PACKAGES[@]}"}; do
        [[ $package != */* ]] || sources=yes
    done
    if [[ $sources == yes ]]; then setup_plan_sources "$platform"; fi
    if ((${#SETUP_TOOL_PACKAGES[@]} + ${#SETUP_ENGINE_PACKAGES[@]} > 0)); then
        plan_add_root 'read the package lists' apt-get -qq update
    fi
    if ((${#SETUP_TOOL_PACKAGES[@]} > 0)); then
        setup_plan_packages 'install tools that are missing' "${SETUP_TOOL_PACKAGES[@]}"
    fi
    # Before the package: a service manager starts the engine right away.
    if [[ $SETUP_CONFIGURE == yes ]]; then setup_plan_configuration; fi
    if ((${#SETUP_ENGINE_PACKAGES[@]} > 0)); then
        setup_plan_packages 'install what is missing of Docker Engine, its command line, buildx and what runs containers' \
            "${SETUP_ENGINE_PACKAGES[@]}"
    fi
    if [[ $SETUP_JOIN_GROUP == yes ]]; then
        plan_add_root 'let you use the engine (who may use it has the rights of root on this machine)' \
            usermod -aG docker "$(id -un)"
    fi
    if [[ $SETUP_START == yes && $start == yes ]]; then
        if platform_has_systemd; then
            plan_add_root 'start Docker Engine' systemctl start docker
        else
            plan_add_root 'start Docker Engine: no service manager runs here' "$ROOT/scripts/lib/start-dockerd"
        fi
    fi
    if ! plan_is_empty && ! plan_can_be_root; then
        setup_problem 'the commands below need root, and sudo is not installed' 'run this as root'
    fi
}

# setup_plan_packages WHY PACKAGE...
setup_plan_packages() {
    local why=$1
    shift
    plan_add_root "$why" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 install "$@"
}

setup_plan_sources() {
    local platform=$1 id codename archive line suites=() files=()
    read -r id codename <<<"$platform"
    while read -r line; do suites+=("$line"); done < <(packages_extra_suites "$id" "$codename")
    while read -r line; do files+=("$line"); done < <(sources_files)
    if ((${#files[@]} == 0)) || ! archive=$(sources_archive "$codename" "${files[@]}"); then
        setup_problem "/etc/apt/sources.list and /etc/apt/sources.list.d have no source of Debian $codename, component main" \
            'add one: its mirror serves for the newer suites, too; or install Docker Engine with buildx another way'
        return
    fi
    # The preferences first: the suites are never there without them.
    plan_add_file "take the engine from ${suites[*]}, and nothing else" "$SOURCES_PREFERENCES" \
        < <(sources_preferences "$id" "$codename" "${suites[@]}")
    plan_add_file "read ${suites[*]} from this machine's own Debian mirror" "$SOURCES_FILE" \
        < <(sources_extra "$archive" "${suites[@]}")
}

setup_plan_configuration() {
    local python=/usr/bin/python3 why='keep images in the containerd store: registry caches can be exported from there only'
    if [[ ! -e $ENGINE_CONFIGURATION ]]; then
        plan_add_file "$why" "$ENGINE_CONFIGURATION" <<<'{"features":{"containerd-snapshotter":true}}'
        return
    fi
    if tools_have_python; then
        # A version manager's shim would not work for root.
        python=$(python3 -c 'import sys; print(sys.executable)')
        if "$python" "$ROOT/scripts/lib/daemon_json.py" --check "$ENGINE_CONFIGURATION"; then return; fi
    fi
    plan_add_root "$why; the other keys stay" "$python" "$ROOT/scripts/lib/daemon_json.py" "$ENGINE_CONFIGURATION"
    if [[ -d /var/lib/docker/image ]]; then
        setup_note "images of the engine's classic store stay on disk but are no longer listed; to have them back, set features.containerd-snapshotter to false in $ENGINE_CONFIGURATION and restart the engine"
    fi
}

# Prints what was found; fails when there is something to do.
setup_report() {
    local i
    for ((i = 0; i < ${#SETUP_NOTES[@]}; i++)); do
        say "note: ${SETUP_NOTES[i]}"
    done
    for ((i = 0; i < ${#SETUP_PROBLEMS[@]}; i++)); do
        say "error: ${SETUP_PROBLEMS[i]%%$'\t'*}"
        say "  hint: ${SETUP_PROBLEMS[i]#*$'\t'}"
    done
    if ! plan_is_empty; then
        say 'Missing on this machine:'
        for ((i = 0; i < ${#SETUP_MISSING[@]}; i++)); do
            say "  - ${SETUP_MISSING[i]}"
        done
        say 'These commands mend that:'
        plan_show
    fi
    plan_is_empty && ((${#SETUP_PROBLEMS[@]} == 0))
}

# Carries the plan out. A source file that can not be read would break apt for
# everything else, so it does not outlive a failed update.
setup_apply() {
    local had_sources=no
    [[ ! -e $SOURCES_FILE ]] || had_sources=yes
    plan_run && return
    if [[ $PLAN_FAILED == *' update' && $had_sources == no && -e $SOURCES_FILE ]]; then
        plan_clear
        plan_add_root 'leave apt as it was' rm -f "$SOURCES_FILE" "$SOURCES_PREFERENCES"
        plan_run
        die "$EXIT_PREREQUISITE" "this machine's Debian mirror could not be read with the newer suites; they were removed again" \
            'see the message of apt-get above; or install Docker Engine with buildx another way'
    fi
    die "$EXIT_PREREQUISITE" 'setting up this machine failed; what was done before stays' \
        'mend what the message above says, and run this again: it goes on where it stopped'
}

# Looks again, since a distribution may have a tool that is too old.
setup_verify_tools() {
    local tool purpose missing=''
    while IFS=$'\t' read -r tool purpose; do
        missing+="${missing:+; }$tool: $purpose"
    done < <(tools_missing)
    [[ -z $missing ]] || die "$EXIT_PREREQUISITE" "still missing after the installation: $missing"         'the package of this distribution will not do: install a newer one yourself and put it first on PATH'
}

# The engine as it must be after the plan. A user who joined the engine's group
# just now is a member in new sessions only, so the COMMAND that is running is run
# again in one: setup_verify_engine COMMAND [ARGUMENT...]
setup_verify_engine() {
    local problem state second
    # A service manager returns before a slow engine replies.
    for ((second = 0; second < 30; second++)); do
        state=$(engine_state)
        [[ $state == silent || $state == stopped ]] || break
        sleep 1
    done
    if [[ $state == denied ]] && setup_is_in_group && command -v sg >/dev/null && [[ -z ${XTASK_REGROUPED:-} ]]; then
        export XTASK_REGROUPED=yes
        plan_forget_drafts
        exec sg docker -c "exec $(printf '%q ' "$@")"
    fi
    case "$state" in
    ready) ;;
    denied) die "$EXIT_PREREQUISITE" 'this session may not use Docker Engine yet' 'log out and in again, then run this again' ;;
    *) die "$EXIT_PREREQUISITE" 'Docker Engine does not reply' 'docker version says why; its log is in /var/log/dockerd.log, or: journalctl -u docker' ;;
    esac
    problem=$(engine_buildx_problem)
    [[ -z $problem ]] || die "$EXIT_PREREQUISITE" "$problem" "docker info shows where docker finds its plug-ins"
}
