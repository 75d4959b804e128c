// fjord-export: models for other programs.
#pragma once

namespace fjord {

/// Returns the exit code. Throws Error.
int export_model(int argc, char** argv);

}  // namespace fjord
