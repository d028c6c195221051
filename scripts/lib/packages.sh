# shellcheck shell=bash
# Which packages make an engine on which distribution, and which suites they
# come from.
#
# Debian's stable releases carry a buildx that is too old (trixie) or none
# (bookworm). Newer suites have both, and their packages install on the stable
# releases: bookworm's C library is new enough. Only what is named here moves.

# The suites to add to the machine's sources, one a line; none where the
# distribution has what is needed.
packages_extra_suites() {
    case "$1 $2" in
    'debian bookworm') printf 'trixie\nsid\n' ;;
    'debian trixie') printf 'sid\n' ;;
    esac
}

# The engine's packages as apt-get takes them, one a line. Fails for a
# distribution that is not known.
packages_engine() {
    case "$1 $2" in
    'debian bookworm')
        # sid's containerd needs a newer C library than bookworm has.
        printf '%s\n' docker.io/sid docker-cli/sid docker-buildx/sid containerd/trixie runc
        ;;
    'debian trixie')
        printf '%s\n' docker.io/sid docker-cli/sid docker-buildx/sid containerd runc
        ;;
    'debian forky' | 'debian sid') printf '%s\n' docker.io docker-cli docker-buildx containerd runc ;;
    # Ubuntu's docker.io contains the command line.
    ubuntu\ *) printf '%s\n' docker.io docker-buildx containerd runc ;;
    *) return 1 ;;
    esac
}

# Whose packages the installed docker command is from.
packages_flavour() {
    if dpkg-query -W -f '${Status}' docker-ce-cli 2>/dev/null | grep -q 'ok installed'; then
        printf 'docker-ce\n'
    else
        printf 'distribution\n'
    fi
}

# The package with the buildx plug-in alone, for an engine that is there
# already. Docker's own packages and the distribution's exclude each other.
packages_buildx() {
    local flavour=$1
    shift
    if [[ $flavour == docker-ce ]]; then
        printf 'docker-buildx-plugin\n'
    else
        packages_engine "$@" | grep '^docker-buildx'
    fi
}

# The packages of an extra SUITE that may be upgraded from it.
packages_of_suite() {
    local suite=$1 package
    shift
    while read -r package; do
        [[ $package == */"$suite" ]] && printf '%s\n' "${package%/*}"
    done < <(packages_engine "$@")
    return 0
}
