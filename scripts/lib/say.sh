# shellcheck shell=bash
# What the scripts tell people. Progress goes to standard error, so that
# standard output holds results only.

# Exit codes, the same as `cargo xtask` has.
# shellcheck disable=SC2034 # read by the files that source this one
readonly EXIT_FAILED=1 EXIT_USAGE=2 EXIT_PREREQUISITE=3

say() {
    printf '%s\n' "$*" >&2
}

warn() {
    printf 'warning: %s\n' "$*" >&2
}

# die CODE MESSAGE [HINT...]: what is wrong, then what to do next, a line each.
die() {
    local code=$1 message=$2 hint
    shift 2
    printf 'error: %s\n' "$message" >&2
    if (($# > 0)); then
        printf '\n' >&2
        for hint in "$@"; do
            printf 'hint: %s\n' "$hint" >&2
        done
    fi
    exit "$code"
}
