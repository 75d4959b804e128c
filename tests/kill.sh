#!/usr/bin/env bash
# kill -9 at 200 (or $1) random moments of training: every checkpoint must load, every resumed run must
# end in the bytes of the run that was never killed. Needs the release build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FJORD_KILLS=${1:-200} build/release/tests/tools/test_resume
