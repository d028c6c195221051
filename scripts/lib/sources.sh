# shellcheck shell=bash
# Package sources: where this machine gets Debian from, and an extra source
# file with newer suites from the same place.
#
# Needs packages.sh. Runs on a machine without Python, hence awk.

readonly SOURCES_FILE=/etc/apt/sources.list.d/xtask-engine.sources
# shellcheck disable=SC2034 # read by setup_plan.sh
readonly SOURCES_PREFERENCES=/etc/apt/preferences.d/xtask-engine

# sources_archive CODENAME FILE...: the source of the distribution's main
# archive, as the deb822 fields URIs, Signed-By, Trusted, Check-Valid-Until and
# Architectures, whichever the machine's own configuration has. Files that end
# in .sources are deb822, the others have one source a line.
#
# Other vendors use the release's codename as their suite, too. So an entry
# signed with Debian's archive keyring comes first, then one whose path is
# /debian, then any that is left. Fails when there is none.
sources_archive() {
    local codename=$1
    shift
    awk -v codename="$codename" '
        function reset() { split("", field); name = "" }

        # A stanza or a line is complete: keep it if it is the best so far.
        function consider(    score, out, i, n, keep) {
            if (!("URIs" in field)) { reset(); return }
            score = 0
            if (has(field["Types"], "deb") && has(field["Components"], "main") \
                && tolower(field["Enabled"]) !~ /^(no|false|0|off|disable)/ \
                && (has(field["Suites"], codename) || has(field["Suites"], "stable") || has(field["Suites"], "oldstable"))) {
                score = 1
                if (field["URIs"] ~ /\/debian\/?( |$)/) score += 2
                if (field["Signed-By"] ~ /debian-archive/) score += 4
                if (has(field["Suites"], codename)) score += 8
            }
            if (score > best) {
                best = score
                out = "URIs: " field["URIs"]
                n = split("Signed-By Trusted Check-Valid-Until Architectures", keep, " ")
                for (i = 1; i <= n; i++)
                    if (field[keep[i]] != "") out = out "\n" keep[i] ": " field[keep[i]]
                found = out
            }
            reset()
        }

        function has(list, word) { return index(" " list " ", " " word " ") > 0 }

        function trim(text) { gsub(/[ \t\r]+/, " ", text); sub(/^ /, "", text); sub(/ $/, "", text); return text }

        # Field names are case-insensitive.
        function canonical(text,    lower) {
            lower = tolower(text)
            if (lower == "uris") return "URIs"
            if (lower == "types") return "Types"
            if (lower == "suites") return "Suites"
            if (lower == "components") return "Components"
            if (lower == "enabled") return "Enabled"
            if (lower == "signed-by") return "Signed-By"
            if (lower == "trusted") return "Trusted"
            if (lower == "check-valid-until") return "Check-Valid-Until"
            if (lower == "architectures" || lower == "arch") return "Architectures"
            return text
        }

        function one_line(    text, options, i, n, part, pair, value) {
            text = $0
            sub(/#.*/, "", text)
            text = trim(text)
            if (text !~ /^deb /) return
            sub(/^deb /, "", text)
            options = ""
            if (text ~ /^\[/) {
                options = substr(text, 2, index(text, "]") - 2)
                text = trim(substr(text, index(text, "]") + 1))
            }
            reset()
            field["Types"] = "deb"
            n = split(trim(options), part, " ")
            for (i = 1; i <= n; i++) {
                split(part[i], pair, "=")
                value = pair[2]
                gsub(/,/, " ", value)
                field[canonical(pair[1])] = value
            }
            n = split(text, part, " ")
            field["URIs"] = part[1]
            field["Suites"] = part[2]
            for (i = 3; i <= n; i++) field["Components"] = field["Components"] " " part[i]
            consider()
        }

        FNR == 1 { consider(); deb822 = FILENAME ~ /\.sources$/ }
        !deb822 { one_line(); next }
        /^#/ { next }
        /^[ \t\r]*$/ { consider(); next }
        # A key may stand in the file itself: keep its lines as they are.
        /^[ \t]/ {
            if (name == "Signed-By") field[name] = field[name] "\n" $0
            else if (name != "") field[name] = trim(field[name] " " $0)
            next
        }
        {
            name = canonical(substr($0, 1, index($0, ":") - 1))
            field[name] = trim(substr($0, index($0, ":") + 1))
        }
        END {
            consider()
            if (best == 0) exit 1
            print found
        }
    ' "$@"
}

# The files apt reads on this machine, without the one written here.
sources_files() {
    local root=${1:-} file
    for file in "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*.list "$root"/etc/apt/sources.list.d/*.sources; do
        [[ -r $file && $file != "$root$SOURCES_FILE" ]] && printf '%s\n' "$file"
    done
    return 0
}

# sources_extra ARCHIVE SUITE...: the extra source file. ARCHIVE is what
# sources_archive printed.
sources_extra() {
    local archive=$1
    shift
    printf '# Newer suites, for Docker Engine and buildx only: see %s.\n' "${SOURCES_PREFERENCES:?}"
    printf 'Types: deb\nSuites: %s\nComponents: main\n%s\n' "$*" "$archive"
}

# sources_preferences ID CODENAME SUITE...: the engine's packages are upgraded
# from the extra suites, and nothing else is ever taken from them by itself.
sources_preferences() {
    local id=$1 codename=$2 suite packages separator=''
    shift 2
    for suite in "$@"; do
        packages=$(packages_of_suite "$suite" "$id" "$codename" | tr '\n' ' ')
        printf '%s' "$separator"
        separator=$'\n'
        if [[ -n $packages ]]; then
            printf 'Package: %s\nPin: release n=%s\nPin-Priority: 500\n\n' "${packages% }" "$suite"
        fi
        printf 'Package: *\nPin: release n=%s\nPin-Priority: 90\n' "$suite"
    done
}
