# shellcheck shell=bash
# The tools besides the engine: which of them are missing, and which packages
# have them.
#
# Needs version.sh.

# MiniStack, the local stand-in for AWS, needs this Python.
readonly TOOLS_PYTHON_MINIMUM=3.10

# The oldest cargo that can build the workspace ROOT.
tools_msrv() {
    local root=$1
    sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$root/Cargo.toml"
}

# Why cargo will not do, as one line; prints nothing when it does.
tools_rust_problem() {
    local root=$1 want text have
    want=$(tools_msrv "$root")
    if ! command -v cargo >/dev/null; then
        printf 'Rust is missing: cargo is not on PATH; %s or newer is needed\n' "$want"
    elif ! text=$(cd "$root" && cargo --version 2>&1); then
        printf 'cargo does not run here: %s\n' "$(printf '%s' "$text" | tr '\n' ' ')"
    elif ! have=$(version_in "$text"); then
        printf 'cargo --version says no version: %s\n' "$text"
    elif ! version_at_least "$have" "$want"; then
        printf 'cargo %s is too old: %s or newer is needed\n' "$have" "$want"
    fi
}

# Whether python3 can make virtual environments with pip in them.
tools_have_python() {
    command -v python3 >/dev/null &&
        python3 -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (${TOOLS_PYTHON_MINIMUM/./, }))" 2>/dev/null
}

# cargo links with the C compiler, and some crates contain C.
tools_have_cc() {
    command -v cc >/dev/null
}

# It is root's: the ordinary user's PATH often lacks /usr/sbin.
tools_have_debootstrap() {
    PATH=$PATH:/usr/sbin:/sbin command -v debootstrap >/dev/null
}

# Where programs that use OpenSSL look for certificates, unless told otherwise.
tools_have_certificates() {
    [[ -n ${SSL_CERT_FILE:-} && -s ${SSL_CERT_FILE:-} ]] || [[ -s /etc/ssl/certs/ca-certificates.crt ]] || [[ $(uname -s) == Darwin ]]
}

# What is missing, one a line: "NAME<tab>WHAT FOR".
tools_missing() {
    command -v git >/dev/null || printf 'git\tsays which commit an image is built from\n'
    tools_have_python || printf 'python3\tversion %s or newer with venv runs MiniStack and the linters\n' "$TOOLS_PYTHON_MINIMUM"
    tools_have_cc || printf 'cc\tcargo links with it\n'
    tools_have_certificates || printf 'ca-certificates\tto trust package registries\n'
}

# The Debian and Ubuntu packages that have the tool NAME.
tools_packages() {
    case "$1" in
    git) printf 'git\n' ;;
    python3) printf 'python3\npython3-venv\n' ;;
    cc) printf 'gcc\nlibc6-dev\n' ;;
    ca-certificates) printf 'ca-certificates\n' ;;
    debootstrap | shellcheck) printf '%s\n' "$1" ;;
    *) return 1 ;;
    esac
}
