# shellcheck shell=bash
# Runs named steps one after the other, and says at the end what came of each.
#
# Needs say.sh. A step NAME is a function step_NAME.

STEPS_NAME=()
# passed, failed or skipped, and the whole seconds it took.
STEPS_RESULT=()
STEPS_SECONDS=()
STEPS_FAILED=no

steps_record() {
    STEPS_NAME+=("$1")
    STEPS_RESULT+=("$2")
    STEPS_SECONDS+=("$3")
}

# steps_run KEEP_GOING NAME...: runs the steps; after one that failed, the rest
# are skipped unless KEEP_GOING is "yes". Leaves in STEPS_FAILED whether one did.
#
# Call it as a command by itself. In a condition (if, &&, ||) bash ignores
# errexit all the way down, and a step would go on after a command that failed.
steps_run() {
    local keep_going=$1 name begin status
    shift
    for name in "$@"; do
        if [[ $STEPS_FAILED == yes && $keep_going != yes ]]; then
            steps_record "$name" skipped 0
            continue
        fi
        steps_begin "$name"
        begin=$SECONDS status=0
        set +e
        (
            set -e
            "step_$name"
        ) </dev/null
        status=$?
        set -e
        steps_end
        if ((status == 0)); then
            steps_record "$name" passed $((SECONDS - begin))
        else
            STEPS_FAILED=yes
            steps_record "$name" failed $((SECONDS - begin))
            say "error: step $name failed with exit code $status"
        fi
    done
}

# GitHub's log viewer folds what is between these.
steps_begin() {
    if [[ ${GITHUB_ACTIONS:-} == true ]]; then
        say "::group::$1"
    else
        say ''
        say "== $1"
    fi
}

steps_end() {
    [[ ${GITHUB_ACTIONS:-} != true ]] || say '::endgroup::'
}

# The table, and one line that is true: "passed" only when every step of the
# whole set ran and passed. LEFT_OUT names the steps that were not asked for.
steps_summary() {
    local left_out=$1 i passed=0 failed=0 skipped=0 total=0 line
    say ''
    for ((i = 0; i < ${#STEPS_NAME[@]}; i++)); do
        case "${STEPS_RESULT[i]}" in
        passed) passed=$((passed + 1)) ;;
        failed) failed=$((failed + 1)) ;;
        skipped) skipped=$((skipped + 1)) ;;
        esac
        total=$((total + STEPS_SECONDS[i]))
        line=$(printf '%-12s %-8s %5d s' "${STEPS_NAME[i]}" "${STEPS_RESULT[i]}" "${STEPS_SECONDS[i]}")
        say "$line"
    done
    line="$passed passed, $failed failed, $skipped skipped after a failure, in $total s"
    if [[ -n $left_out ]]; then line="$line; not asked for: $left_out"; fi
    if ((failed > 0)); then
        say "FAILED: $line"
    elif [[ -n $left_out ]]; then
        say "PASSED IN PART: $line"
    else
        say "PASSED: $line"
    fi
}
