// fjord-data: a data set drawn, examined or counted.
#pragma once

#include <string>

#include "data/doctor.h"
#include "tools/program.h"

namespace fjord {

/// fjord-data: returns the exit code. Throws Error.
int handle_dataset(int argc, char** argv);

/// Prints the doctor's report and writes its JSON; 3 when it found an error, else 0.
int examine(const CommonFlags& common, const std::string& data, const DoctorOptions& options);

}  // namespace fjord
