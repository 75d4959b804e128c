// fjord-inspect.
#include "tools/inspection.h"
#include "tools/program.h"

int main(int argc, char** argv) { return fjord::run_program(argc, argv, fjord::inspect); }
