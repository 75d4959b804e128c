// fjord-data.
#include "tools/dataset_programs.h"
#include "tools/program.h"

int main(int argc, char** argv) { return fjord::run_program(argc, argv, fjord::handle_dataset); }
