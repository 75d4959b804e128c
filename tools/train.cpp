// fjord-train.
#include "tools/program.h"
#include "tools/training.h"

int main(int argc, char** argv) { return fjord::run_program(argc, argv, fjord::train); }
