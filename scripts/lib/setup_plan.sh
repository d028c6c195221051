# shellcheck shell=bash
# Setting up a machine, second part: the commands that mend what is missing, and
# the report of both. Drafts apart, it changes nothing.
#
# Needs setup_observe.sh, plan.sh and sources.sh; reads ROOT, the project's
# directory.

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
