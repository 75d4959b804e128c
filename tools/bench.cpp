// fjord-bench.
#include "tools/benchmark.h"
#include "tools/program.h"

int main(int argc, char** argv) { return fjord::run_program(argc, argv, fjord::benchmark); }
