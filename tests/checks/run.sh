#!/usr/bin/env bash
# tests/run.sh before a release, on stand-ins for what it calls: FJORD_CUDA_ARCHITECTURES=all also
# takes every product of the step and every plan of the zoo; an everyday run leaves that to the tests.
. "$(dirname "${BASH_SOURCE[0]}")/stand_ins.sh"
stand_in third_party/install.sh 'exit 0'
stand_in bin/nvcc 'exit 0'
stand_in bin/cmake 'echo "cmake $*" >>calls'
stand_in bin/ctest 'echo "ctest $* steps ${FJORD_STEPS:-some} plans ${FJORD_PLANS:-some}" >>calls
for preset in release sanitize; do
  mkdir -p build/$preset/Testing/Temporary
  echo "kernels 2, with emulated test 2" >build/$preset/Testing/Temporary/LastTest.log
done'
mkdir "$folder/tests"
cp "$root/tests/run.sh" "$folder/tests/"
calls_of() {  # VARIABLE=VALUE...: what tests/run.sh called
  rm -f "$folder/calls"
  env -u FJORD_STEPS -u FJORD_PLANS -u FJORD_CUDA_ARCHITECTURES "PATH=$folder/bin:$PATH" "$@" \
    bash "$folder/tests/run.sh" >"$folder/log" 2>&1 || echo "status $?: $(tail -n 3 "$folder/log")"
  cat "$folder/calls"
}

calls=$(calls_of A=b)
expect "$calls" '^cmake --preset cuda -DFJORD_CUDA_ARCHITECTURES=80-real;90$'
expect "$calls" '^ctest --preset release .* steps some plans some$'
expect "$(<"$folder/log")" '^CUDA emulated, release: kernels 2,'
calls=$(calls_of FJORD_CUDA_ARCHITECTURES=all)
expect "$calls" '^cmake --build --preset cuda .* test_cuda_plans'
expect "$calls" '^ctest --test-dir build/cuda .*test_cuda_plans.* steps all plans all$'
expect "$calls" '^ctest --preset release .* steps all plans all$'
expect "$(calls_of FJORD_CUDA_ARCHITECTURES=all FJORD_STEPS=one)" '^ctest --preset release .* steps one plans all$'

[ $failed -eq 0 ] && echo "run: ok"
exit $failed
