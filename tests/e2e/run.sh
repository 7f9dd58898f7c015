#!/usr/bin/env bash
# Telstar in real browsers, players and encoders.
#
#   run.sh short            one publish, one Chromium viewer, one ffprobe; judges content and order, never speed
#   run.sh short-call       two Chromiums in a call, likewise
#   run.sh short-whx        one browser publishes by WHIP, another watches by WHEP, likewise
#   run.sh short-vod        a file dropped on the library plays in the page, likewise
#   run.sh vod              every script of video on demand
#   run.sh all              every acceptance script, each into docs/results/<name>.json
#   run.sh soak             five minutes, every access unit hashed (SOAK_SECONDS)
#   run.sh bench            ready time, idle memory, memory per stream into docs/performance.md
#   run.sh whx              every script of WHIP and WHEP (E2E_SERVER=mediamtx: some of them against MediaMTX instead)
#   run.sh bench-latency    how old a picture is when it is shown, beside MediaMTX (MEDIAMTX_BIN), into the same page
#   run.sh calls            the network lab and every script of calls
#   run.sh bench-conversions  processor time of conversions beside the same ffmpeg command, into the same page
#   run.sh peers            parts, encoders and segments beside MediaMTX (MEDIAMTX_BIN) and nginx, into the same page
#   run.sh bench-calls      calls beside the floor, Janus (JANUS_BIN) and LiveKit (LIVEKIT_BIN), into the same page
#   run.sh bench-vod        video on demand beside the ffmpeg command that makes the same, and nginx, into the same page (BENCH_ONLY)
#   run.sh NAME...          single scripts of scripts/, for example `run.sh watch obs`
#
# TELSTAR_BIN names the server to test; without it the newest build under target/ is taken.
set -euo pipefail
[ -z "${TELSTAR_BIN:-}" ] || TELSTAR_BIN=$(realpath "$TELSTAR_BIN")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"

calls=(call lab call-limits call-limits-exact call-nat call-tcp call-proxy call-embed call-p2p call-kill)
whx=(measuring whip-clients whep-rtmp whip-hls call-hls firefox-whep whep-many worker-kill)
vod=(library vod-players vod-uploads vod-encrypted vod-flat vod-conformance vod-hostile vod-media)
all=(watch players keyframes encoders codecs obs restart tabs conformance cache secrets threats "${calls[@]}" "${whx[@]}" "${vod[@]}")

../../scripts/node-modules tests/e2e
# A browser that starts, or words on how to get one.
if [ -z "${TELSTAR_CHROMIUM:-}" ]; then
    TELSTAR_CHROMIUM=$(../../scripts/browser chromium)
    export TELSTAR_CHROMIUM
fi

one() {
    local name=$1 script
    script=scripts/$name.mjs
    [ "$name" = soak ] && script=../soak/soak.mjs
    [ -e "$script" ] || { echo "no such script: $name (there are: $(ls scripts | sed 's/\.mjs$//' | tr '\n' ' ')soak)" >&2; return 2; }
    export E2E_COMMAND="tests/e2e/run.sh $name"
    if [[ $name =~ ^(obs|encoders)$ ]] && [ "${E2E_NETNS:-}" != 1 ]; then
        # What comes from the network comes now.
        [ "$name" = obs ] || node --input-type=module -e 'import { pyavVersion } from "./lib/pyav.mjs"; await pyavVersion()'
        # OBS gets a network of its own with nothing but loopback in it, and so do the server and the viewers beside it.
        local user=()
        [ "$(id -u)" = 0 ] || user=(--map-root-user)
        # shellcheck disable=SC2016
        E2E_NETNS=1 unshare --net "${user[@]}" sh -c 'ip link set lo up && exec node "$0"' "$script"
    else
        node "$script"
    fi
}

each() {
    local failed=() name
    for name in "$@"; do
        echo "== $name"
        one "$name" || failed+=("$name")
    done
    [ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
}

case "${1:-}" in
    '') sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 2 ;;
    all) each "${all[@]}" ;;
    calls) each "${calls[@]}" ;;
    whx) each "${whx[@]}" ;;
    vod) each "${vod[@]}" ;;
    *) for name in "$@"; do one "$name"; done ;;
esac
