#!/usr/bin/env bash
# The peers that the tests talk to; installed when we may, else named, and their tests are left out.
set -euo pipefail
declare -A owner=([storescu]=dcmtk [dciodvfy]=dicom3tools [Orthanc]=orthanc [chromium]=chromium)
missing=()
for program in "${!owner[@]}"; do
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing+=("${owner[$program]}")
done
[ -f /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "carina: installing the tests' peers: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
        exit 0
    fi
    echo "carina: that failed; the tests that need them are left out."
fi
echo "carina: without ${missing[*]} these tests are left out: see the skips at the end of the run."
echo "carina: to run them all: apt-get install ${missing[*]}"
