# shellcheck shell=bash
# Setting up a machine, third part: the only one that changes it. It ends the
# script when that fails, or when the machine is still not as it must be.
#
# Needs setup_plan.sh.

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
