// fjord-export.
#include "tools/exporting.h"
#include "tools/program.h"

int main(int argc, char** argv) { return fjord::run_program(argc, argv, fjord::export_model); }
