# shellcheck shell=bash
# What is going to be done, as data: shown first, then done. The text shown is
# the very text that is executed.
#
# Needs say.sh.

PLAN_WHY=()
PLAN_COMMAND=()
# The command that failed, after plan_run did.
# shellcheck disable=SC2034 # read by setup_apply.sh
PLAN_FAILED=''
# Drafts of the files that the plan puts in place.
PLAN_DRAFTS=''

# plan_add WHY COMMAND [ARGUMENT...]
plan_add() {
    local why=$1 command
    shift
    command=$(printf '%q ' "$@")
    PLAN_WHY+=("$why")
    PLAN_COMMAND+=("${command% }")
}

# The same, for a command that only root may run.
plan_add_root() {
    local why=$1
    shift
    if ((EUID == 0)); then
        plan_add "$why" "$@"
    elif [[ -t 0 ]]; then
        plan_add "$why" sudo "$@"
    else
        # Nobody is there to type a password: fail rather than wait for one.
        plan_add "$why" sudo -n "$@"
    fi
}

plan_can_be_root() {
    ((EUID == 0)) || command -v sudo >/dev/null
}

# plan_add_file WHY TARGET: puts standard input at TARGET, as root, unless it is
# there already. The draft is written now, so that what is shown is what is used.
plan_add_file() {
    local why=$1 target=$2 draft
    if [[ -z $PLAN_DRAFTS ]]; then
        PLAN_DRAFTS=$(mktemp -d)
        trap plan_forget_drafts EXIT
    fi
    draft=$PLAN_DRAFTS/${target##*/}
    cat >"$draft"
    if cmp -s "$draft" "$target"; then return; fi
    plan_add_root "$why:"$'\n'"$(sed 's/^/  #   | /' "$draft")" install -D -m 0644 "$draft" "$target"
}

plan_forget_drafts() {
    [[ -z $PLAN_DRAFTS ]] || rm -rf "$PLAN_DRAFTS"
}

plan_clear() {
    PLAN_WHY=()
    PLAN_COMMAND=()
}

plan_is_empty() {
    ((${#PLAN_COMMAND[@]} == 0))
}

plan_show() {
    local i
    for ((i = 0; i < ${#PLAN_COMMAND[@]}; i++)); do
        say "  # ${PLAN_WHY[i]}"
        say "  ${PLAN_COMMAND[i]}"
    done
}

# Asks once. plan_confirm YES, where YES is "yes" if the user agreed beforehand.
plan_confirm() {
    local agreed=$1 answer
    [[ $agreed == yes ]] && return
    if [[ ! -t 0 ]]; then
        die "$EXIT_PREREQUISITE" 'this needs your consent, and standard input is not a terminal: nothing was changed' \
            'agree beforehand with --yes'
    fi
    printf 'Run these commands? [y/N] ' >&2
    IFS= read -r answer
    case "$answer" in
    y | Y | yes | Yes | YES) ;;
    *) die "$EXIT_PREREQUISITE" 'you did not agree: nothing was changed' ;;
    esac
}

# Runs the plan and stops at the first command that fails, with its code.
plan_run() {
    local i status
    for ((i = 0; i < ${#PLAN_COMMAND[@]}; i++)); do
        say "+ ${PLAN_COMMAND[i]}"
        status=0
        eval "${PLAN_COMMAND[i]}" </dev/null >&2 || status=$?
        if ((status != 0)); then
            # shellcheck disable=SC2034
            PLAN_FAILED=${PLAN_COMMAND[i]}
            say "error: this command ended with exit code $status: ${PLAN_COMMAND[i]}"
            return "$status"
        fi
    done
}
