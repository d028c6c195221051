# shellcheck shell=bash
# Reading and comparing version numbers.

# The first number with dots in TEXT: "github.com/docker/buildx v0.29.1 a327"
# gives 0.29.1. Fails when there is none.
version_in() {
    local text=$1
    [[ $text =~ [0-9]+(\.[0-9]+)+ ]] || return 1
    printf '%s\n' "${BASH_REMATCH[0]}"
}

# version_at_least HAVE WANT: compares numerically part by part; a part that is
# not there counts as 0.
version_at_least() {
    local -a have want
    local i
    IFS=. read -r -a have <<<"$1"
    IFS=. read -r -a want <<<"$2"
    for ((i = 0; i < ${#want[@]}; i++)); do
        if ((10#${have[i]:-0} != 10#${want[i]})); then
            ((10#${have[i]:-0} > 10#${want[i]}))
            return
        fi
    done
}
