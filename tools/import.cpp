// fjord-import.
#include "tools/importing.h"
#include "tools/program.h"

int main(int argc, char** argv) { return fjord::run_program(argc, argv, fjord::import_weights); }
