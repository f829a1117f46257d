#!/bin/sh
# Sets up the grader: a Python with exactly the locked packages, in venv/.
# Run it again after a failure, or after replacing source/.
#   AUTOGRADER_ROOT    the folder that is /autograder on Gradescope
#   AUTOGRADER_PYTHON  the Python of an environment that has the packages already:
#                      it is used as it is, and nothing is installed
set -eu
root=${AUTOGRADER_ROOT:-/autograder}
source=$root/source
if [ ! -f "$source/requirements.lock" ]; then
  echo "setup.sh: found no requirements.lock in $source: unpack the zip there, or set" \
    "AUTOGRADER_ROOT" >&2
  exit 1
fi

fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}
find_python() {
  for python in python3 python3.13 python3.12 python3.11; do
    if fits "$python"; then return 0; fi
  done
  return 1
}
install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup.sh: found no Python 3.11, 3.12 or 3.13 with venv; install one" >&2
    exit 1
  fi
  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy "$@"
}

rm -rf "$root/venv"
if [ -n "${AUTOGRADER_PYTHON:-}" ]; then
  ln -s "$("$AUTOGRADER_PYTHON" -c 'import sys; print(sys.prefix)')" "$root/venv"
else
  if ! find_python; then
    install python3.11 python3.11-venv  # Ubuntu 22.04 has it
    find_python
  fi
  if ! "$python" -m venv "$root/venv"; then
    install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    "$python" -m venv --clear "$root/venv"
  fi
  "$root/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-cache-dir --require-hashes --only-binary :all: -r "$source/requirements.lock"
fi

cd "$source"
if [ -f shears/classroom/fetch_images.py ]; then
  "$root/venv/bin/python" -Es -m shears.classroom.fetch_images "$source"
fi
"$root/venv/bin/python" -Es -m shears.classroom.run_autograder --check "$root"

mkdir -p "$root/submission" "$root/results"
# A student's notebook runs as another user, who can read neither tests nor images.
chmod -R go-rwx "$source" "$root/results"
echo "setup.sh: the grader is ready"
