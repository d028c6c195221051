# shellcheck shell=bash
# Which operating system this is.

# Prints "ID CODENAME": "debian bookworm", "ubuntu noble", "macos -", or
# "other NAME" where these scripts know no package manager to use.
# A distribution that is built on Ubuntu's archive counts as that Ubuntu.
platform_name() {
    local os_release=${1:-/etc/os-release} kernel
    if [[ ! -r $os_release ]]; then
        kernel=$(uname -s)
        if [[ $kernel == Darwin ]]; then
            printf 'macos -\n'
        else
            printf 'other %s\n' "$kernel"
        fi
        return
    fi
    (
        ID='' ID_LIKE='' VERSION_CODENAME='' UBUNTU_CODENAME=''
        # shellcheck disable=SC1090 # the machine's own file: NAME=value lines
        . "$os_release"
        case "$ID" in
        debian)
            # Debian's unreleased suites have no VERSION_CODENAME everywhere.
            printf 'debian %s\n' "${VERSION_CODENAME:-sid}"
            ;;
        ubuntu) printf 'ubuntu %s\n' "$VERSION_CODENAME" ;;
        *)
            if [[ " $ID_LIKE " == *' ubuntu '* && -n $UBUNTU_CODENAME ]]; then
                printf 'ubuntu %s\n' "$UBUNTU_CODENAME"
            else
                printf 'other %s\n' "${ID:-unknown}"
            fi
            ;;
        esac
    )
}

# Whether a service manager runs here that can start the engine.
platform_has_systemd() {
    [[ -d /run/systemd/system ]]
}
