// fjord-import: weights from other programs' files into a .safetensors of fjord's.
#pragma once

namespace fjord {

/// Returns the exit code. Throws Error.
int import_weights(int argc, char** argv);

}  // namespace fjord
