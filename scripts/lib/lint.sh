# shellcheck shell=bash
# The linters of these scripts and of the workflows, in a pinned virtual environment
# of their own.
#
# Needs say.sh; reads ROOT, the project's directory.

# Makes target/venv/lint from scripts/requirements.txt, unless it is up to date.
lint_environment() {
    local venv=$ROOT/target/venv/lint requirements=$ROOT/scripts/requirements.txt
    if cmp -s "$requirements" "$venv/requirements.txt"; then return; fi
    say "+ python3 -m venv $venv; pip install -r scripts/requirements.txt"
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$requirements"
    # Last, so that an interrupted installation is done again.
    cp "$requirements" "$venv/requirements.txt"
}

# The shellcheck to use. No wheel contains one for Linux on other processors than
# x86_64: there the distribution's has to do.
lint_program() {
    if lint_has_wheel; then
        lint_environment
        printf '%s\n' "$ROOT/target/venv/lint/bin/shellcheck"
    else
        command -v shellcheck
    fi
}

# Checks the workflows, and with shellcheck what they run.
lint_workflows() {
    local shellcheck
    shellcheck=$(lint_program)
    lint_environment
    (cd "$ROOT" && target/venv/lint/bin/actionlint -no-color -shellcheck "$shellcheck" -pyflakes '')
}

lint_has_wheel() {
    [[ $(uname -sm) == Darwin\ * || $(uname -sm) == 'Linux x86_64' ]]
}

# Every bash script of the project, committed or about to be, one a line.
lint_scripts() {
    local file line
    while IFS= read -r file; do
        # Listed, but deleted since.
        [[ -f $ROOT/$file ]] || continue
        IFS= read -r line <"$ROOT/$file" || [[ -n $line ]] || continue
        case "$line" in
        '#!'*bash* | '#!/bin/sh'* | '# shellcheck shell='*) printf '%s\n' "$file" ;;
        esac
    done < <(git -C "$ROOT" ls-files --cached --others --exclude-standard -- .ci api aws scripts)
}
