// fjord-inspect: what a file, a folder or a planned network is.
#pragma once

namespace fjord {

/// Returns the exit code. Throws Error.
int inspect(int argc, char** argv);

}  // namespace fjord
